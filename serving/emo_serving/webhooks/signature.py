"""Signatures of Standard Webhooks (https://www.standardwebhooks.com), with HMAC-SHA256."""

import base64
import binascii
import hmac
from pathlib import Path

from emo_runtime import EmoError

_PREFIX = "whsec_"
_VERSION = "v1"
_MIN_BYTES, _MAX_BYTES = 24, 64
_HOW = (
    "Make one: python -c \"import base64, secrets; print('whsec_' + "
    'base64.b64encode(secrets.token_bytes(32)).decode())"'
)


class WebhookError(EmoError):
    """A webhook's secret or URL that can't be used."""


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers that identify and sign a message.

    Args:
        secret: ``whsec_`` and the key in base64.
        message_id: The same for all attempts to deliver the message.
        timestamp: Time of this attempt, in seconds since 1970.
        body: The request's body.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"{_VERSION},{signature}",
    }


def check_secret(secret: str, source: str) -> str:
    """Return a secret without surrounding blanks. Raises WebhookError."""
    secret = secret.strip()
    try:
        length = len(_key(secret))
    except (binascii.Error, ValueError):
        length = 0
    if not secret.startswith(_PREFIX) or not _MIN_BYTES <= length <= _MAX_BYTES:
        raise WebhookError(
            f"{source}: not a secret of a webhook: {_PREFIX} and {_MIN_BYTES} to {_MAX_BYTES} "
            f"bytes in base64. {_HOW}"
        )
    return secret


def read_secret_file(path: Path) -> str:
    """Read a secret from a file. Raises WebhookError."""
    return check_secret(path.read_text(encoding="utf-8", errors="replace"), str(path))


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
