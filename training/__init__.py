"""Training on top of `pvd_core`, in wings: ablation -> run -> judge, distil -> data -> simulate.

simulate   streets and sensors, and the writer of simulated data sets
data       data sets, streams of scans, mixing, augmentation
distil     teacher, objective of the student, teacher cache, slices
judge      metrics, evaluation, votes, balance, submission
run        one training: config, session, loop, logs, checkpoints
ablation   tables of runs
realism    simulated scans compared with real ones
"""
