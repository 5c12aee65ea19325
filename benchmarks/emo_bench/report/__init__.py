"""Reports: schema, estimates, comparison and output."""
