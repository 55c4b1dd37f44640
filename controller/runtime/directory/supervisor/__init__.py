"""The process that outlives the daemon: it starts, reaps and logs what directory sandboxes run.

One for each state folder, with the standard library alone and plain classes, so that it starts fast and stays small.
"""
