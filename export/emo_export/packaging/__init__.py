"""Manifest, card, golden answers and the bundle writer."""
