"""Looking at scans: what was measured, the truth, what networks say and where they are wrong."""
