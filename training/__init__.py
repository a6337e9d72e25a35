"""Simulated worlds, data sets, augmentation and the training loop, on top of `pvd_core`."""
