"""How this process computes: its memory, number formats, fast products, ranks, and what the machine is."""
