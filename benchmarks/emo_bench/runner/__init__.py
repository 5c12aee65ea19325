"""The measuring process: planning, starting workers, collecting results."""
