"""Datasets: videos on disk become clips."""
