"""How close simulated scans are to real ones: measures of both, the gaps between them, a report with pictures."""
