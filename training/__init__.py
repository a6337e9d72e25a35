"""Training on top of `pvd_core`, in wings: ablation -> run -> judge, distil -> data -> simulate.

simulate   streets and sensors, and the writer of simulated data sets
data       data sets, streams of scans, mixing, augmentation
distil     teacher, objective of the student, teacher cache, slices
judge      metrics, evaluation, votes, balance, submission
run        one training: config, session, loop, logs, checkpoints
ablation   tables of runs
realism    simulated scans compared with real ones
"""

import os

# For bfloat16 oneDNN, and torch above it, compile a kernel of about a megabyte for each new shape and keep 1,024 each.
# In a training nearly every shape is new: after 600 steps of distilling a process had 3.6 GB. Read at first use.
for _name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_name, "128")
