"""Single measurement scripts behind docs/performance.md."""
