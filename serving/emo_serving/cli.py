"""emo-serve: one application around a recognizer, on one machine or on many."""

import ipaddress
import os
from pathlib import Path

import click

from emo_runtime.bundle.manifest import Precision
from emo_runtime.cli.common import (
    Command,
    Failure,
    bundle_options,
    refuse_options,
    require_extra,
)
from emo_serving.settings import MIB, TOKEN_VARIABLE, Settings

_NEEDED = ("fastapi", "uvicorn", "multipart", "prometheus_client", "websockets")


@click.command(cls=Command)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=8000, show_default=True, help="0 takes a free one.")
@click.option("--bundle", help="A bundle's directory, with --ray also its URI (else the default).")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help=f"File with the bearer token that callers must send (or the variable {TOKEN_VARIABLE}).",
)
@click.option("--origin", "origins", multiple=True, help="Web origin that may call, besides ours.")
@click.option("--max-waiting", type=click.IntRange(0), default=96, show_default=True)
@click.option("--max-streams", type=click.IntRange(0), default=256, show_default=True)
@click.option("--max-body-mib", type=click.IntRange(1), default=16, show_default=True)
@click.option("--max-duration-s", type=click.FloatRange(0.1), default=120.0, show_default=True)
@click.option("--timeout-s", type=click.FloatRange(0.1), default=30.0, show_default=True)
@click.option(
    "--drain-s",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="How long running calls may go on after SIGTERM.",
)
@click.option("--ray", "on_ray", is_flag=True, help="On Ray Serve: RAY_ADDRESS's, or its own.")
@click.option(
    "--min-replicas",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="With --ray: of recognizers, however idle they are.",
)
@click.option(
    "--max-replicas",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="With --ray: of recognizers, one thread each, and of those who take calls in.",
)
@bundle_options
@click.version_option(package_name="emo-runtime")
def main(
    *,
    host: str,
    port: int,
    bundle: str | None,
    token_file: Path | None,
    origins: tuple[str, ...],
    max_waiting: int,
    max_streams: int,
    max_body_mib: int,
    max_duration_s: float,
    timeout_s: float,
    drain_s: float,
    on_ray: bool,
    min_replicas: int,
    max_replicas: int,
    provider: str,
    fallback: bool,
    threads: int | None,
    variant: Precision | None,
) -> None:
    """Serve a bundle over HTTP and WebSocket: a page at /, the API under /v1 and /v2.

    SIGTERM ends it once the running calls have their answers; a second one at once.
    """
    require_extra("serve", *_NEEDED)
    if on_ray:
        refuse_options("does not go with --ray: a recognizer has one.", "threads")
        require_extra("ray", "ray", "pyarrow")
    else:
        refuse_options("goes with --ray.", "min_replicas", "max_replicas")
    if min_replicas > max_replicas:
        raise click.UsageError("--min-replicas may not be more than --max-replicas.")
    settings = Settings(
        bundle=bundle,
        provider=provider,
        fallback=fallback,
        threads=threads,
        variant=variant,
        token=_token(token_file),
        origins=origins,
        max_waiting=max_waiting,
        max_streams=max_streams,
        max_body_bytes=max_body_mib * MIB,
        max_duration_s=max_duration_s,
        timeout_s=timeout_s,
        drain_s=drain_s,
    )
    if settings.token is None and not _is_loopback(host):
        click.echo(f"Warning: {host} is open to other machines, and asks for no token.", err=True)
    if on_ray:
        from emo_serving.on_ray.server import serve_on_ray  # noqa: PLC0415  (needs the extra)

        serve_on_ray(settings, (host, port), (min_replicas, max_replicas), _print_address)
        return
    from emo_serving.server import listen, serve  # noqa: PLC0415  (needs the extra)

    with listen(host, port, stuck_s=settings.idle_s) as listening:
        address = listening.getsockname()
        serve(settings, listening, lambda: _print_address(address[0], address[1]))


def _print_address(host: str, port: int) -> None:
    name = f"[{host}]" if ":" in host else host
    click.echo(f"http://{name}:{port}/", err=True)


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    token = file.read_text(encoding="utf-8").strip()
    if not token:
        raise Failure(f"{file}: holds no token.")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    main()
