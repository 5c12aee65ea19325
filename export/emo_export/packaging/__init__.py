"""Manifest, model card, golden cases and the bundle writer."""
