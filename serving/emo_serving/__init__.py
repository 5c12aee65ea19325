"""Web application around a recognizer: HTTP, WebSocket, Open Inference Protocol, a web page."""
