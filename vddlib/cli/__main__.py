"""`python -m vddlib.cli`: what accelerate and the Snakefile start."""

from vddlib.cli import app

app()
