"""The LiDAR: its beams, how rays are cast, what comes back."""
