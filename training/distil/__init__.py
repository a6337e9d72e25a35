"""Distillation: the objective of a student that learns from a teacher, and where the teacher's outputs come from."""
