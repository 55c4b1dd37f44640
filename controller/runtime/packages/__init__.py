"""Python packages: resolved, locked and downloaded once by uv, kept as verified trees, installed offline."""
