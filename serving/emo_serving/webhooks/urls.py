"""URLs of webhooks: the operator's, and those of calls to origins that the operator allows."""

from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

from emo_serving.webhooks.signature import WebhookError

_MAX_URL = 2048
_PORTS = {"http": 80, "https": 443}


def check_url(url: str) -> str:
    """Return the URL of a webhook. Raises WebhookError."""
    _split(url)
    return url


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL, as they are compared. Raises WebhookError."""
    parts = _split(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or _PORTS[parts.scheme]}"


def check_origin(origin: str) -> str:
    """Return an origin that calls may name, as it is compared. Raises WebhookError."""
    parts = _split(origin)
    if parts.path not in {"", "/"} or parts.query:
        raise WebhookError(
            f"{origin}: give scheme, host and port only, such as https://crm.example."
        )
    return origin_of(origin)


def check_call_url(url: str, origins: Collection[str]) -> str:
    """Return the URL that a call names. Raises WebhookError unless its origin is allowed."""
    if origin_of(url) not in origins:
        raise WebhookError(
            "webhook: this origin is not allowed; the server's owner can allow it "
            "(--webhook-origin)."
        )
    return url


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    plain = url.isascii() and url.isprintable() and not set(url) & set(' \\"<>')
    if (
        not plain
        or len(url) > _MAX_URL
        or parts.scheme not in _PORTS
        or not parts.hostname
        or "@" in parts.netloc
        or parts.fragment
    ):
        raise WebhookError(
            "webhook: give an http or https URL in ASCII, without user name and fragment."
        )
    return parts
