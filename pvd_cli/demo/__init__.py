"""`pvd demo`: a drive through the real node, over real ROS 2 transport, and what came out of it."""
