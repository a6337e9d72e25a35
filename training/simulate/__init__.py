"""Simulated drives: streets with all 19 classes, scanned by ray casting, in SemanticKITTI's format.

`simulate_sequence` yields frames, `write_dataset` writes a folder. Each part imports only parts to its left:
sensor <- shapes <- street <- drive <- sequence <- dataset.

sensor/     LiDARs, ray casting, what a surface sends back
shapes/     meshes of vehicles, people, plants, buildings, street furniture
street/     the street: its line, ground, objects, traffic
drive       a vehicle's drive along a street, frame by frame
sequence    the files of one drive
dataset     all drives of a data set
folder      the data set's folder: free space, interrupted and finished simulations
parallel    scans divided among processes
"""

from training.simulate.dataset import TRAIN_SEQUENCES, VALID_SEQUENCES, write_dataset
from training.simulate.drive import Drive, Frame, simulate_sequence

__all__ = ["TRAIN_SEQUENCES", "VALID_SEQUENCES", "Drive", "Frame", "simulate_sequence", "write_dataset"]
