"""Graph rewrites: one exact rewrite per module."""
