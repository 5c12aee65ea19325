"""Reports: schema, statistics, comparison, rendering."""
