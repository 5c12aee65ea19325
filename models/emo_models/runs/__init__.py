"""One run of a recipe and the files that it writes."""
