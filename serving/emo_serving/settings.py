"""What a server may be asked to do, as one value."""

from dataclasses import dataclass, field
from typing import Any

MIB = 1 << 20
TOKEN_VARIABLE = "EMO_SERVE_TOKEN"  # noqa: S105  (a name)


@dataclass(frozen=True)
class Settings:
    """Bundle, limits and safety of a server. Times in seconds.

    ``threads``: calls answered at once, one core each (None: the usable cores); ``max_waiting``
    more may wait, the next is refused with 429. ``token``: what a caller must send as
    ``Authorization: Bearer``; None asks for nothing. ``origins``: web origins other than the
    server's own whose pages may call it. ``upload_timeout_s``: for the body of a request to
    arrive; ``timeout_s``: from then to its answer. ``max_streams``: live calls at once;
    ``max_stream_s``: the longest utterance of one; ``idle_s``: silence after which one is closed;
    ``send_timeout_s``: how long a reader of events may be behind; ``drain_s``: how long running
    calls may go on once the server is told to stop; ``grace_s``: how long it goes on accepting
    connections then, while /readyz already says no.
    """

    bundle: str | None = None
    provider: str = "auto"
    fallback: bool = False
    threads: int | None = None
    variant: Any = None
    token: str | None = field(default=None, repr=False)
    origins: tuple[str, ...] = ()
    max_waiting: int = 96
    max_body_bytes: int = 16 * MIB
    max_text_characters: int = 20_000
    max_duration_s: float = 120.0
    max_batch: int = 64
    upload_timeout_s: float = 10.0
    timeout_s: float = 30.0
    max_streams: int = 256
    max_stream_s: float = 120.0
    max_message_bytes: int = MIB
    idle_s: float = 60.0
    send_timeout_s: float = 10.0
    drain_s: float = 30.0
    grace_s: float = 1.0
