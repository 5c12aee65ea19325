"""Twilio's signature of a WebSocket handshake.

https://www.twilio.com/docs/usage/security#validating-requests: the header ``X-Twilio-Signature`` is
the HMAC of the URL, as it is in the TwiML, with the account's auth token: SHA-1, or the algorithm
that ``X-Twilio-Webhooks-Signature-Settings`` names.
"""

import base64
import hmac

from starlette.datastructures import Headers
from starlette.types import Scope

_SIGNATURE = "x-twilio-signature"
_SETTINGS = "x-twilio-webhooks-signature-settings"
_ALGORITHMS = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}
# The scheme is not known behind a proxy that does not forward it; TwiML requires wss.
_SCHEMES = {"wss": 443, "ws": 80}


def is_signed(scope: Scope) -> bool:
    """True if the request has a signature of Twilio."""
    return _SIGNATURE in Headers(scope=scope)


def has_valid_signature(scope: Scope, auth_token: str) -> bool:
    """True if the signature of a request is that of its URL, with this auth token."""
    headers = Headers(scope=scope)
    given = headers.get(_SIGNATURE, "").encode()
    algorithm = _ALGORITHMS.get(_algorithm(headers.get(_SETTINGS, "")))
    if algorithm is None:
        return False
    valid = False
    for url in _urls(scope, headers.get("host", "")):
        digest = hmac.digest(auth_token.encode(), url, algorithm)
        valid |= hmac.compare_digest(base64.b64encode(digest), given)
    return valid


def _algorithm(settings: str) -> str:
    pairs = (pair.partition("=") for pair in settings.split(","))
    named = [value.strip() for name, _, value in pairs if name.strip() == "algorithm"]
    return named[0].upper() if named else "HMAC_SHA1"


def _urls(scope: Scope, host: str) -> list[bytes]:
    """Return the URLs that may have been signed: with and without the scheme's usual port."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    rest = path + (b"?" + query if query else b"")
    return [
        f"{scheme}://{name}".encode() + rest
        for scheme, port in _SCHEMES.items()
        for name in {host, host.removesuffix(f":{port}"), f"{host}:{port}"}
    ]
