"""Corpora, splits, pairs and features."""
