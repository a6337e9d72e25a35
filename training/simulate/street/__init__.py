"""Worlds: where the street runs, what stands along it and what moves on it."""
