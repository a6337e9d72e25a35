"""The street: where it runs, what stands along it and what moves on it. Imports run upwards in this list; below it
stand `shapes` and `sensor.materials`.

Places on the street are (s, d, h): s metres along its line, d metres to the left of the line, h metres above the
ground there. Beside the lanes, u is the distance outwards from their edge.

layout               cross-section of a street, side streets, blocks: data classes without any randomness
route                the curved line that the street follows; (s, d, h) to world coordinates
frontage             one side of the main street or of a side street, with coordinates of its own
ground               the ground of a block as a mesh, its height at a place
placer               puts objects into a block without overlaps and numbers instances
parked_vehicles, car_park, fences, houses_and_gardens     what is placed along a frontage
block_objects        everything that is placed in one block
street_kinds         what one side of a residential, city, country, ... street looks like
blocks               draws the blocks of a street
world_kinds          the worlds that a user can ask for
world                a street with all its blocks; the static mesh around a place
traffic              everything that moves
"""
