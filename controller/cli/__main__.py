"""`python -m controller.cli`: the command line where the `sandkeeper` script is not installed."""

from __future__ import annotations

from controller.cli.main import main

main()
