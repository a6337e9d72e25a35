"""One training: its settings, session, loop, logs and checkpoints."""
