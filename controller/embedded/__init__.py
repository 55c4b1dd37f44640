"""Sandboxes without a daemon: one at a time is looked at, planned and worked on, in the thread of whoever asks."""
