"""Skills' files, kept as they were read."""
