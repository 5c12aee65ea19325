"""The WebSocket protocol (RFC 6455) of live calls, without the cost of a general library."""
