"""Reference answers, comparison, latency and the accuracy gate."""
