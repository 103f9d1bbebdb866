"""The reading room: executed notebooks, records and clips of a scale as pages that open from disk."""
