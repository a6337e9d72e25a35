"""One file a command; each is a thin layer over the library function that does the work."""
