"""Access to ROS 2: rclpy, quality of service, Fast DDS settings, config files of the installed package."""
