"""The measured process: one engine, its load generators and resource counters."""
