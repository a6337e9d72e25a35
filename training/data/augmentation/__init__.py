"""The single random changes to a training scan. `training.data.augment` and `training.data.mix` decide which of them
are made, how often and in which order.

Each function takes its random numbers from a `np.random.Generator` and leaves its input unchanged. N points of a scan
are float32 (N, 4): x, y, z in metres in the sensor's frame (x forward, y left, z up), and intensity. Class ids are
integers (N,).
"""
