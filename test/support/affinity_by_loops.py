"""The affinity loss of PVD in plain loops, by its definition."""

import math

import numpy as np


def brute_force_affinity(student, teacher, rows, norm):
    def cosine(features, i, j):
        if i < 0 or j < 0:
            return 0.0
        a, b = features[i], features[j]
        return float(a @ b / (max(np.linalg.norm(a), 1e-8) * max(np.linalg.norm(b), 1e-8)))

    total = 0.0
    for row in rows:
        of_rows = [sum((cosine(student, i, j) - cosine(teacher, i, j)) ** 2 for j in row) for i in row]
        num_real = max(sum(i >= 0 for i in row), 1)
        if norm == "rows":
            total += sum(map(math.sqrt, of_rows)) / num_real
            continue
        squares = sum(of_rows)
        count = num_real if norm == "valid" else len(row)
        total += squares / count**2
    return total / len(rows)
