"""Reading and validating other people's checkpoints."""
