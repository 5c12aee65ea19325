"""Several processes of one server: shared limits and metrics, restart, replacement."""
