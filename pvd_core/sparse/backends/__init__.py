"""Backends: who computes a convolution given its kernel map. The reference is the oracle of every other one."""
