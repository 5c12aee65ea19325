"""Command-line entry points of training and evaluation."""
