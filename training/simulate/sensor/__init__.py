"""The LiDAR. Imports run upwards in this list, and nothing here knows of meshes of things or of streets.

materials   how each material answers a laser pulse
tables      elevations of each sensor's beams
sensors     `SpinningLidar` and the sensors by name
mounting    height and tilt of the sensor on its vehicle
texture     noise that is fixed to the world's surfaces
edges       effects of a beam's width at edges and around retro-reflectors
response    lost returns, range noise, intensity
ray_caster  the first triangle that each ray hits, by embreex
scanner     casts a sensor's rays and applies everything above to their hits
"""
