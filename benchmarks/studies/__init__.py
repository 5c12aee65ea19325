"""Measurement scripts for the results in docs/performance.md."""
