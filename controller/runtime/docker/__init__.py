"""The runtime that makes sandboxes real as containers of a local Docker Engine. `docker` is imported nowhere else."""
