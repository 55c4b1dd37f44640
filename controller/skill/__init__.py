"""Skill files: what they say, and the tools that they name."""
