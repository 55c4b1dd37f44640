"""Runtimes: what makes a sandbox real."""
