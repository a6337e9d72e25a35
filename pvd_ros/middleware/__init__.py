"""Access to ROS 2: rclpy, quality of service, settings of Fast DDS and Cyclone DDS, what launch files share."""
