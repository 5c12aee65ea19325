"""Access rules of a request: Host header, bearer token, origin, content encoding, client."""

import base64
import binascii
import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from emo_serving.admission import Client
from emo_serving.errors import HostError, MediaTypeError, OriginError, UnauthorizedError
from emo_serving.settings import Settings
from emo_serving.tokens import Token, find_token

# The page and the probes contain nothing of the bundle or its users and need no token.
_OPEN = ("/page/", "/healthz", "/readyz", "/v2/health/")
# A browser's WebSocket can't set headers: it offers the token as a subprotocol, in base64url if it
# contains characters that a subprotocol must not contain.
_PREFIX = "bearer."
_PREFIX_BASE64 = "bearer64."
_ANY = "*"
_STREAM = "/v1/stream/"


class AccessRules:
    """The access rules of a server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own_name = socket.gethostname().lower()

    def check(self, scope: Scope) -> Client:
        """Return the client of a request.

        Raises:
            HostError: The Host header names another server.
            UnauthorizedError: The token is missing or wrong.
            OriginError: A web page of another origin sent it.
            MediaTypeError: The body is compressed.
        """
        headers = Headers(scope=scope)
        is_open = scope["path"] == "/" or scope["path"].startswith(_OPEN)
        if not is_open:
            self._check_host(headers.get("host", ""))
        token = None if is_open else self._check_token(scope, headers)
        self._check_origin(scope, headers)
        if headers.get("content-encoding", "identity").strip().lower() not in {"identity", ""}:
            raise MediaTypeError("compressed bodies are not supported: send it uncompressed.")
        return self._client(token, scope)

    def _check_host(self, host: str) -> None:
        """Refuse other names: a page could have its own name resolved to this server's address."""
        allowed = self._settings.allowed_hosts
        if _ANY in allowed or (not allowed and self._settings.tokens):
            return
        name = _host_name(host)
        if name in allowed:
            return
        if not allowed and (name in {"localhost", self._own_name, ""} or _is_address(name)):
            return
        raise HostError(
            "this host name is not allowed: the server's owner can allow it (--allowed-host)."
        )

    def _check_token(self, scope: Scope, headers: Headers) -> Token | None:
        tokens = self._settings.tokens
        if not tokens:
            return None
        given = _given_token(scope, headers)
        found = find_token(tokens, given.strip())
        if found is None:
            raise UnauthorizedError("send the server's token as 'Authorization: Bearer TOKEN'.")
        return found

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Refuse pages of other sites: they must not use a visitor's browser to reach a server."""
        if scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}:
            return
        origin, allowed = headers.get("origin"), self._settings.origins
        if origin is None or origin in allowed or _ANY in allowed:
            return
        try:
            own = urlsplit(origin).netloc == headers.get("host")
        except ValueError:
            own = False
        if not own:
            raise OriginError(
                "pages of this origin are not allowed; the server's owner can allow it (--origin)."
            )

    def _client(self, token: Token | None, scope: Scope) -> Client:
        settings = self._settings
        calls, streams = settings.max_calls_per_client, settings.max_streams_per_client
        if token is None:
            return Client(client_address(scope), "", calls, streams)
        return Client(
            f"token:{token.name}",
            token.name,
            calls if token.max_calls is None else token.max_calls,
            streams if token.max_streams is None else token.max_streams,
        )


def client_address(scope: Scope) -> str:
    """Return the client's address; of an IPv6 address the network of 64 bits, which one has."""
    client = scope.get("client")
    return address_key(client[0]) if client else "local"


def address_key(address: str) -> str:
    """Return what identifies the client of an address."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


def _host_name(host: str) -> str:
    """Return the host of a Host header in lower case, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _given_token(scope: Scope, headers: Headers) -> str:
    """Return the token of a request, in one of the forms that browsers and platforms can send."""
    kind, _, given = headers.get("authorization", "").partition(" ")
    path: str = scope["path"]
    if kind.lower() == "bearer" or scope["type"] != "websocket":
        token = given if kind.lower() == "bearer" else ""
    elif kind.lower() == "basic":  # Exotel: wss://any:TOKEN@host/
        token = _decoded(given).partition(":")[2]
    elif "x-api-key" in headers:  # AudioHook
        token = headers["x-api-key"]
    elif path.startswith(_STREAM) and "/" in path.removeprefix(_STREAM):
        token = path.removeprefix(_STREAM).partition("/")[2]  # the others: in the path
    else:
        token = _offered_token(scope.get("subprotocols", ()))
    return token


def _decoded(text: str, alternative: bytes = b"+/") -> str:
    """Decode base64, with or without its padding; empty if it is malformed."""
    try:
        return base64.b64decode(text.rstrip("=") + "==", alternative).decode()
    except (binascii.Error, ValueError):
        return ""


def _offered_token(subprotocols: list[str]) -> str:
    for name in subprotocols:
        if name.startswith(_PREFIX):
            return name.removeprefix(_PREFIX)
        if name.startswith(_PREFIX_BASE64):
            return _decoded(name.removeprefix(_PREFIX_BASE64), b"-_")
    return ""
