"""Point clouds from files (KITTI .bin, .npy, .pcd, .ply) and the search for such files in folders."""

from pvd_core.clouds.files import SUFFIXES, CloudFileError, find_clouds, read_cloud, read_cloud_file

__all__ = ["SUFFIXES", "CloudFileError", "find_clouds", "read_cloud", "read_cloud_file"]
