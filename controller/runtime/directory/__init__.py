"""The runtime that makes sandboxes real as folders with their own user, environment and limits; it needs no engine.

The supervisor, a process of its own, imports this package with nothing but the standard library: this file, `atomic`,
`membership` and `wire` stay free of anything else.
"""
