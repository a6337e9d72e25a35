"""What every border to the user shares: mistakes in plain words, settings from YAML, files that appear whole."""
