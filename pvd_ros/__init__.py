"""The ROS 2 side: PointCloud2 codec, the segmentation node, bags; on top of `pvd_core`."""
