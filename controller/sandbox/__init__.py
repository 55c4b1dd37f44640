"""What a sandbox is made with and measured by, for users of the Python API."""
