"""How fast and how small: figures beside a baseline of the same run. `python -m benchmarks` prints and judges them."""
