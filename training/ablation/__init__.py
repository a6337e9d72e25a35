"""Grids of training runs, each with several seeds: the tables of the PVD paper and our own."""
