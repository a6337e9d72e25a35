"""Where the program meets the user: errors in plain words, settings from YAML, files written whole or not at all."""
