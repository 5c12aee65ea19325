"""Reference predictions, comparison, latency and the accuracy gate."""
