#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "pypdf==5.*",
#   "click<9",
# ]
# ///
"""Fill in a form."""

import click

click.echo("filled in")
