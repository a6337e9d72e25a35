"""One file for each command: its options, and a call of the library function that does the work."""
