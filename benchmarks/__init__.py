"""Benchmarks: what a method costs, not how good it is."""
