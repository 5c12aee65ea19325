"""Webhooks: the events of live calls as signed HTTP requests."""
