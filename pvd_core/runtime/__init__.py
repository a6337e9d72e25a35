"""How this process computes: memory, number formats, fast matrix products, ranks, and which machine it runs on."""
