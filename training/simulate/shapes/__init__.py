"""Meshes of single objects, drawn at random. Imports run upwards in this list; below it stands `sensor.materials`.

mesh           `Mesh`: triangles with class, instance, material and brightness
primitives     boxes, tubes, prisms, ellipsoids: every object is built of these
vehicles       cars, vans, trucks, buses, trailers, tractors
people         persons on foot and on a saddle
two_wheelers   bicycles and motorcycles, with and without a rider
plants         trees, bushes, hedges, undergrowth
buildings      houses, terraces, halls, garages
furniture      poles, lamps, signs, fences, bins, benches
"""
