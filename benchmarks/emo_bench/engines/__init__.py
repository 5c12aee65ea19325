"""Engines under measurement: this runtime and its rivals."""
