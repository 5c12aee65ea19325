"""One web application around a recognizer: HTTP, WebSocket, the Open Inference Protocol, a page."""
