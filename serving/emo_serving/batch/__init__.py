"""Batch prediction on Ray Data."""
