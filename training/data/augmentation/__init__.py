"""The single random changes to a training scan; `training.data.augment` says which are made, how often and in which
order.

Each is a pure function of its input and a `numpy` generator; the input is left alone. Points are float32 (N, 4): x, y,
z in metres in the sensor's frame (x forward, z up), and intensity.
"""
