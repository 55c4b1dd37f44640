"""Manifests from a watched folder: strict reading, last-known-good, confirmed absence, the prune guard."""
