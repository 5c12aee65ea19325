"""Live calls: WebSocket connections, the messages of telephone platforms, and their events."""
