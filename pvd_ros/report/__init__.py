"""What the node and the bag tools report: counts of clouds, latency percentiles, health, and these as messages."""
