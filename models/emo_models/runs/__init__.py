"""Runs of the recipes and the files that they write."""
