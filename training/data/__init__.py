"""Scans for training: data sets, streams, mixing, augmentation, batches, and the fixed benchmarks."""
