"""Live calls over WebSocket."""
