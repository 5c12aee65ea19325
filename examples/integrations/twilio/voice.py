"""A Twilio voice webhook: the call's sound goes to emo-serve, its emotions to the console.

The voice URL of the number is https://HOST/voice, forwarded to port 8080. docs/integrations has the
whole set-up, and compose.yaml both services.

    PUBLIC_HOST=emo.example.com python voice.py
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import quoteattr

PORT = 8080
MAX_BYTES = 1 << 20


def twiml(host: str) -> str:
    """Return TwiML that sends the caller's sound to emo-serve while the call goes on."""
    url = quoteattr(f"wss://{host}/v1/stream/twilio")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response>\n'
        f'  <Start><Stream url={url} track="inbound_track"/></Start>\n'
        '  <Say language="es-ES">Cuénteme qué ha pasado.</Say>\n'
        '  <Pause length="60"/>\n</Response>\n'
    )


class Handler(BaseHTTPRequestHandler):
    """POST /voice: TwiML. POST /emotion: an event of emo-serve's webhook, which is printed."""

    def do_POST(self) -> None:
        """Answer a request of Twilio or of emo-serve."""
        length = min(int(self.headers.get("Content-Length", 0)), MAX_BYTES)
        body = self.rfile.read(length)
        if self.path == "/voice":
            self._send(200, twiml(os.environ["PUBLIC_HOST"]), "text/xml")
        elif self.path == "/emotion":
            print(json.dumps(json.loads(body), ensure_ascii=False), flush=True)
            self._send(204, "", "text/plain")
        else:
            self._send(404, "not found\n", "text/plain")

    def _send(self, status: int, text: str, kind: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Write nothing for each request."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()
