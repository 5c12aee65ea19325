"""Options of a server as one immutable value."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from emo_runtime.bundle.manifest import Precision
from emo_serving.tokens import Token

MIB = 1 << 20
# Name of a bundle in requests: a part of URLs, a label of metrics, and the name of a directory.
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)
# Live calls that one process was measured to answer in time with emo-es-small
# (docs/operate/scaling.md).
STREAMS_PER_WORKER = 100
# Prefix of the environment variables. The three with names below hold a secret, others an option.
ENVIRONMENT_PREFIX = "EMO_SERVE"
TOKEN_VARIABLE = f"{ENVIRONMENT_PREFIX}_TOKEN"
TWILIO_VARIABLE = f"{ENVIRONMENT_PREFIX}_TWILIO_AUTH_TOKEN"
WEBHOOK_SECRET_VARIABLE = f"{ENVIRONMENT_PREFIX}_WEBHOOK_SECRET"
# The WebSocket subprotocol of a browser, which can't set headers and offers its token as another.
SUBPROTOCOL = "emo-stream"


@dataclass(frozen=True)
class BundleSource:
    """A directory or installed name of a bundle (None: the default), and its name in requests.

    Without ``name`` it is the one in its manifest.
    """

    where: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Settings:
    """Bundles, limits and access rules of a server. Times are in seconds.

    Args:
        bundle: The only bundle.
        bundles: Several bundles instead; the first is the default.
        bundle_folder: Folder whose bundles can be loaded by name.
        reload_s: Time between two checks whether a bundle was replaced on disk; 0: no checks.
        model_control: Clients may load and unload bundles, with a token that permits it.
        threads: Utterances recognized at once, one core each; None uses all usable cores.
        tokens: Accepted bearer tokens. Without any, every caller is accepted.
        twilio_auth_token: Without tokens: calls of Twilio need a signature with this auth token.
        origins: Web origins, besides the server's own, whose pages may call it; ``"*"`` allows all.
        allowed_hosts: Accepted host names of the ``Host`` header; ``"*"`` allows all. Empty: IP
            addresses and ``localhost``, or all where a token is required.
        workers: Processes that share the port.
        max_waiting: Requests that may wait for a thread; further ones are refused with 429.
        max_body_bytes: Largest request body. Bodies in JSON also have ``max_json_bytes``.
        max_buffered_bytes: Bodies that are held in memory at once.
        max_duration_s: Longest sound of a request.
        max_batch: Utterances of one batch.
        head_timeout_s: Time for a request's head to arrive, ``upload_timeout_s``: for its body.
        timeout_s: Time from then to the answer.
        max_connections: Open connections; ``max_connections_per_client``: of one address.
        max_calls_per_client, max_streams_per_client: Limits of one token or address; None: none.
        max_streams: Live calls at once.
        max_stream_s: Seconds of sound that the answers of a live call consider: the latest ones,
            unless the call asks for a shorter window.
        max_errors_per_minute: Errors after which a live call is closed.
        idle_s: Silence after which a live call is closed.
        send_timeout_s: Time for a client to read an event.
        trusted_proxies: Addresses or networks whose ``X-Forwarded-*`` headers are used.
        audiosocket_clients: Addresses or networks whose AudioSocket connections are accepted;
            empty: this machine only. The protocol has no authentication.
        audiosocket_owner: Name of the token that AudioSocket calls belong to; None: the only one.
        drain_s: Time that running requests have after SIGTERM; ``grace_s``: time for which new
            connections are still accepted then, while ``/readyz`` already answers 503.
        webhook: URL that receives the events of all live calls, signed with ``webhook_secret``.
        webhook_origins: Origins of the URLs that a call may name instead.
        webhook_partial: Send partial answers too, not only final answers and errors.
        webhook_timeout_s: Time for the response of a webhook.
        max_webhook_queue: Events that may wait for one host of webhooks.
        otel: Export OpenTelemetry traces.
        access_log: Log one JSON line for each request and each live call.
    """

    bundle: str | None = None
    bundles: tuple[BundleSource, ...] = ()
    bundle_folder: Path | None = None
    reload_s: float = 0.0
    model_control: bool = False
    provider: str = "auto"
    fallback: bool = False
    threads: int | None = None
    variant: Precision | None = None
    tokens: tuple[Token, ...] = field(default=(), repr=False)
    twilio_auth_token: str | None = field(default=None, repr=False)
    origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    workers: int = 1
    max_waiting: int = 96
    max_body_bytes: int = 16 * MIB
    max_json_bytes: int = 8 * MIB
    max_buffered_bytes: int = 256 * MIB
    max_text_characters: int = 20_000
    max_duration_s: float = 120.0
    max_batch: int = 64
    max_head_bytes: int = 64 << 10
    head_timeout_s: float = 10.0
    upload_timeout_s: float = 10.0
    timeout_s: float = 30.0
    max_connections: int = 1024
    max_connections_per_client: int = 512
    max_calls_per_client: int | None = None
    max_streams_per_client: int | None = None
    max_streams: int = STREAMS_PER_WORKER
    max_stream_s: float = 120.0
    max_message_bytes: int = MIB
    max_errors_per_minute: int = 16
    idle_s: float = 60.0
    send_timeout_s: float = 10.0
    trusted_proxies: tuple[str, ...] = ()
    audiosocket_clients: tuple[str, ...] = ()
    audiosocket_owner: str | None = None
    drain_s: float = 30.0
    grace_s: float = 1.0
    webhook: str | None = None
    webhook_origins: tuple[str, ...] = ()
    webhook_secret: str | None = field(default=None, repr=False)
    webhook_partial: bool = False
    webhook_timeout_s: float = 10.0
    max_webhook_queue: int = 1000
    otel: bool = False
    access_log: bool = True

    @property
    def sources(self) -> tuple[BundleSource, ...]:
        """All bundles; the first is the default."""
        return self.bundles or (BundleSource(self.bundle),)
