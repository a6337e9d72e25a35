"""Simulated drives: streets with all 19 classes, scanned by ray casting, in SemanticKITTI's format.

`simulate_sequence` yields frames, `write_dataset` writes folders. Layers, bottom up: shapes and objects (`shapes`,
`vehicles`, `people`, ...), the street (`route`, `kinds`, `ground`, `placer`, `scenery`, `populate`, `world`,
`traffic`), the sensor (`sensors`, `materials`, `scanner`), the drive (`drive`, `dataset`).
"""

from training.simulate.dataset import TRAIN_SEQUENCES, VALID_SEQUENCES, write_dataset
from training.simulate.drive import Drive, Frame, simulate_sequence

__all__ = ["TRAIN_SEQUENCES", "VALID_SEQUENCES", "Drive", "Frame", "simulate_sequence", "write_dataset"]
