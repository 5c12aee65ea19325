"""Readers and validation of checkpoints, including third-party ones."""
