"""Bearer tokens: named secrets with separate limits, and the file that lists them."""

import hmac
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from emo_runtime import EmoError


class TokenError(EmoError):
    """A token file that can't be used."""


@dataclass(frozen=True)
class Token:
    """An accepted bearer token.

    Args:
        secret: What a client sends.
        name: Its name in logs and metrics.
        max_calls: Requests in progress at once; None: the limit of the settings.
        max_streams: Live calls at once; None: the limit of the settings.
        twilio_auth_token: Auth token of the Twilio account whose calls belong to this token.
        model_control: Its clients may load and unload bundles, if the server permits it at all.
    """

    secret: str = field(repr=False)
    name: str = "default"
    max_calls: int | None = None
    max_streams: int | None = None
    twilio_auth_token: str | None = field(default=None, repr=False)
    model_control: bool = False


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of a token file in TOML."""

    name: str
    token: str
    max_calls: int | None = None
    max_streams: int | None = None
    twilio_auth_token: str | None = None
    model_control: bool = False


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """A token file in TOML."""

    tokens: list[_Entry]


def only_token(secret: str) -> Token:
    """Return the token of a server that has no other: it permits everything."""
    return Token(secret, model_control=True)


def find_token(tokens: tuple[Token, ...], given: str) -> Token | None:
    """Return the token whose secret is ``given``, in a time that doesn't depend on the secrets."""
    found = None
    for token in tokens:
        if hmac.compare_digest(given.encode(), token.secret.encode()):
            found = token
    return found


def read_token_file(path: Path) -> tuple[Token, ...]:
    """Read tokens from a file: one token as plain text, or several in TOML (``*.toml``).

    Raises:
        TokenError: The file is not UTF-8, has no token, isn't valid TOML, or a name or token occurs
            twice.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise TokenError(f"{path}: is not UTF-8. Write the token into it as text.") from None
    if path.suffix != ".toml":
        secret = content.strip()
        if not secret:
            raise TokenError(f"{path}: is empty. Write the token into it.")
        return (only_token(secret),)
    try:
        entries = msgspec.convert(tomllib.loads(content), _File).tokens
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise TokenError(
            f"{path}: not a list of tokens: {reason}. Write [[tokens]] entries with name and token."
        ) from None
    for key in ("name", "token"):
        values = [getattr(entry, key).strip() for entry in entries]
        if not values or not all(values) or len(set(values)) < len(values):
            raise TokenError(f"{path}: give every [[tokens]] entry a {key} of its own.")
    return tuple(
        Token(
            entry.token.strip(),
            entry.name.strip(),
            entry.max_calls,
            entry.max_streams,
            entry.twilio_auth_token,
            entry.model_control,
        )
        for entry in entries
    )
