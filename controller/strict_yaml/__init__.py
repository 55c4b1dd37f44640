"""Strict YAML for whoever reads it: bounded, with the place of every field, and nothing that readers disagree on."""
