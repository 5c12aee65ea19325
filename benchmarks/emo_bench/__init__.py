"""Latency, throughput, memory and accuracy of bundles and their rivals: reports and comparisons."""
