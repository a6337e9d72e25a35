"""Point clouds from files: KITTI .bin, .npy, .pcd and .ply, and the folders that hold them."""

from pvd_core.clouds.files import SUFFIXES, CloudFileError, find_clouds, read_cloud

__all__ = ["SUFFIXES", "CloudFileError", "find_clouds", "read_cloud"]
