"""Access rules of a request: Host header, bearer token, origin, content encoding, client."""

import base64
import binascii
import ipaddress
import socket
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from emo_serving.admission import Client
from emo_serving.errors import HostError, MediaTypeError, OriginError, UnauthorizedError
from emo_serving.settings import Settings
from emo_serving.tokens import Token, find_token
from emo_serving.twilio_signature import has_valid_signature, is_signed

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
        self._signers: list[tuple[str, Token | None]] = [
            (token.twilio_auth_token, token) for token in settings.tokens if token.twilio_auth_token
        ]
        if settings.twilio_auth_token and not settings.tokens:
            self._signers.append((settings.twilio_auth_token, None))
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
        client = self._address_client(scope) if is_open else self._authenticate(scope, headers)
        self._check_origin(scope, headers)
        if headers.get("content-encoding", "identity").strip().lower() not in {"identity", ""}:
            raise MediaTypeError("compressed bodies are not supported: send it uncompressed.")
        return client

    def check_grpc(self, scope: Scope) -> Client:
        """Return the client of a gRPC call, which no web page can send.

        Raises UnauthorizedError.
        """
        if scope["path"].startswith(_OPEN):
            return self._address_client(scope)
        return self._authenticate(scope, Headers(scope=scope))

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

    def _authenticate(self, scope: Scope, headers: Headers) -> Client:
        """Return the client of the token or of Twilio's signature. Raises UnauthorizedError."""
        if _is_call_of_twilio(scope) and self._signers and is_signed(scope):
            return self._check_signature(scope)
        tokens = self._settings.tokens
        if not tokens:
            if _is_call_of_twilio(scope) and self._signers:
                raise UnauthorizedError("Twilio's signature is missing.")
            return self._address_client(scope)
        given = _given_token(scope, headers).strip()
        found = find_token(tokens, given)
        if found is not None:
            return client_with_token(found, self._settings)
        if not given and _may_send_token_later(scope):
            return replace(self._address_client(scope), is_authenticated=False)
        raise UnauthorizedError("send the server's token as 'Authorization: Bearer TOKEN'.")

    def _check_signature(self, scope: Scope) -> Client:
        for auth_token, token in self._signers:
            if has_valid_signature(scope, auth_token):
                if token is None:
                    return self._address_client(scope)
                return client_with_token(token, self._settings)
        raise UnauthorizedError(
            "Twilio's signature does not match: it needs the account's auth token and the URL of "
            "the TwiML; a proxy must forward the Host header."
        )

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

    def _address_client(self, scope: Scope) -> Client:
        settings = self._settings
        calls, streams = settings.max_calls_per_client, settings.max_streams_per_client
        return Client(client_address(scope), "", calls, streams)


def client_with_token(token: Token, settings: Settings) -> Client:
    """Return the client that has sent a token, with the limits of the token or the settings."""
    calls, streams = settings.max_calls_per_client, settings.max_streams_per_client
    return Client(
        f"token:{token.name}",
        token.name,
        calls if token.max_calls is None else token.max_calls,
        streams if token.max_streams is None else token.max_streams,
        may_control=token.model_control,
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
    elif query := parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token"):
        token = query[0]
    else:
        token = _offered_token(scope.get("subprotocols", ()))
    return token


def _is_call_of_twilio(scope: Scope) -> bool:
    path: str = scope["path"]
    return scope["type"] == "websocket" and f"{path}/".startswith(f"{_STREAM}twilio/")


def _may_send_token_later(scope: Scope) -> bool:
    """True for the WebSockets of platforms: /v1/stream itself is for clients with headers."""
    path: str = scope["path"]
    name = path.removeprefix(_STREAM)
    return scope["type"] == "websocket" and path != name and "/" not in name


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
