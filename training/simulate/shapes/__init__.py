"""Meshes of things: vehicles, people, plants, buildings, furniture of the street."""
