"""The model card and the figures of the default bundle."""
