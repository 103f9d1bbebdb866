"""Hostile files in numbers: `pytest -m hostile`, or `VDD_HOSTILE_SECONDS=3600 pytest -m hostile` for an hour.

Every file ends in one of two ways: it is refused in one line, or it loads. Anything else fails, and the file is kept.
"""
