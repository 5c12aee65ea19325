"""Graph variants of lower precision."""
