"""Skill files: what is understood of them, and what refuses them."""
