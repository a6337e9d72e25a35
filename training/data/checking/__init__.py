"""Whether a data set can be used: every doubtful file found before the work starts, not in the middle of it."""
