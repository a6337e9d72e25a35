"""ROS 2: the PointCloud2 codec, the segmentation node, bags. Built on `pvd_core`."""
