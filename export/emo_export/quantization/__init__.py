"""Reduced-precision variants of graphs."""
