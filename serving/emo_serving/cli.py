"""emo-serve: serve a bundle over HTTP and WebSocket, on one machine or on Ray."""

import contextlib
import ipaddress
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from emo_runtime.cli.common import Command, bundle_options, examples, refuse_options, require_extra
from emo_serving.cli_options import (
    FILE,
    audiosocket_options,
    bundles_options,
    check_model_control,
    limit,
    mib,
    seconds,
    split_address,
    webhook_options,
)
from emo_serving.settings import (
    ENVIRONMENT_PREFIX,
    MIB,
    STREAMS_PER_WORKER,
    TOKEN_VARIABLE,
    TWILIO_VARIABLE,
    WEBHOOK_SECRET_VARIABLE,
    BundleSource,
    Settings,
)
from emo_serving.tls import Tls
from emo_serving.tokens import Token, only_token, read_token_file
from emo_serving.webhooks.signature import check_secret, read_secret_file

_NEEDED = ("starlette", "uvicorn", "httptools", "prometheus_client", "websockets", "httpx2")

# Options that concern connections, which Ray's proxy accepts with --ray.
_OF_UVICORN = (
    *("unix_socket", "grpc_port", "tls_cert", "tls_key", "trusted_proxies"),
    *("max_connections", "max_connections_per_client"),
    *("audiosocket", "audiosocket_clients", "audiosocket_owner", "otel"),
)


@click.command(
    cls=Command,
    context_settings={"auto_envvar_prefix": ENVIRONMENT_PREFIX},
    epilog=examples(
        "emo-serve",
        "emo-serve --host 0.0.0.0 --token-file token --workers 2",
        "emo-serve --tls-cert chain.pem --tls-key key.pem --token-file token",
        "emo-serve --audiosocket 127.0.0.1:9092 --webhook https://crm.example/emotion",
    ),
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Port; 0 takes a free one.")
@click.option(
    "--unix-socket", type=click.Path(path_type=Path), help="Listen on a Unix domain socket instead."
)
@click.option(
    "--grpc-port",
    type=click.IntRange(0, 65535),
    help="Serve the Open Inference Protocol over gRPC too, on this port of --host; 0 takes a free "
    "one.",
)
@click.option("--tls-cert", type=FILE, help="Certificate chain (PEM): serve HTTPS.")
@click.option("--tls-key", type=FILE, help="Private key (PEM) of the certificate.")
@bundles_options
@click.option(
    "--token-file",
    type=FILE,
    help="File with the bearer token that clients must send, or a .toml file with [[tokens]] "
    f"entries (name, token, max_calls, max_streams). Or set {TOKEN_VARIABLE} to the token.",
)
@click.option(
    "--twilio-auth-token-file",
    type=FILE,
    help="File with the auth token of the Twilio account: its signature authenticates calls of "
    f"Twilio. Or set {TWILIO_VARIABLE}.",
)
@click.option("--origin", "origins", multiple=True, help="Web origin that may call, or *.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    help="Accepted host name of the Host header, or *. Default: IP addresses, localhost and this "
    "machine's name; any if a token is required.",
)
@click.option(
    "--proxy-headers",
    "trusted_proxies",
    multiple=True,
    metavar="ADDRESS",
    help="Use X-Forwarded-For and -Proto of this proxy (address or network, or *).",
)
@limit("--workers", "Processes that share the port, the limits and the memory of the bundle.", 1)
@limit("--max-waiting", "Requests that may wait for a thread.")
@click.option(
    "--max-streams",
    type=click.IntRange(0),
    help=f"Live calls at once.  [default: {STREAMS_PER_WORKER} for each worker]",
)
@mib("--max-body-mib", "Largest request body.")
@mib("--max-buffered-mib", "Memory for request bodies, in all.")
@limit("--max-connections", "Open connections.", 1)
@limit("--max-connections-per-client", "Open connections of one address.", 1)
@limit("--max-calls-per-client", "Requests at once of one token or address.", 1)
@limit("--max-streams-per-client", "Live calls at once of one token or address.", 1)
@seconds("--max-duration-s", "Longest sound of a request.")
@seconds("--timeout-s", "Time to an answer.")
@seconds("--upload-timeout-s", "Time for a request's body to arrive.")
@seconds("--idle-s", "Silence after which a live call is closed.")
@seconds("--drain-s", "Time that running requests have after SIGTERM.", 0)
@audiosocket_options
@webhook_options
@click.option(
    "--access-log/--no-access-log",
    default=True,
    show_default=True,
    help="One JSON line for each request and live call, on standard error.",
)
@click.option(
    "--otel",
    is_flag=True,
    help="Export OpenTelemetry traces by OTLP over HTTP; OTEL_* variables configure it.",
)
@click.option("--ray", "on_ray", is_flag=True, help="Deploy on Ray Serve (RAY_ADDRESS, or local).")
@click.option(
    "--min-replicas",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="With --ray: recognizers that are always running.",
)
@click.option(
    "--max-replicas",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="With --ray: largest number of recognizers, and of front ends.",
)
@bundle_options
@click.version_option(package_name="emo-runtime")
def main(
    *,
    host: str,
    port: int,
    unix_socket: Path | None,
    grpc_port: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    token_file: Path | None,
    twilio_auth_token_file: Path | None,
    audiosocket: str | None,
    webhook_secret_file: Path | None,
    workers: int,
    max_streams: int | None,
    max_body_mib: int,
    max_buffered_mib: int,
    on_ray: bool,
    bundles: tuple[BundleSource, ...],
    min_replicas: int,
    max_replicas: int,
    **options: Any,
) -> None:
    """Serve bundles over HTTP and WebSocket: a page at /, the API under /v1 and /v2.

    SIGTERM ends the server once running requests are answered; a second one ends it at once. SIGHUP
    loads the bundles that have changed on disk. With --workers it replaces the workers one by one:
    bundles, tokens and certificate are read again.

    Every option can be set by an environment variable, such as EMO_SERVE_MAX_STREAMS.
    """
    require_extra("serve", *_NEEDED)
    if on_ray or workers > 1:
        why = "--ray" if on_ray else "--workers, whose processes share the bundles of their parent"
        refuse_options(f"does not go with {why}.", "model_control", "bundle_folder")
    if on_ray:
        refuse_options("does not go with --ray: a recognizer has one thread.", "threads")
        refuse_options("does not go with --ray: use --max-replicas.", "workers")
        refuse_options("does not go with --ray: Ray accepts the connections.", *_OF_UVICORN)
        refuse_options("does not go with --ray: deploy the bundle again.", "reload_s")
        if len(bundles) > 1 or any(source.name for source in bundles):
            raise click.UsageError("--ray serves one bundle, under its own name.")
        require_extra("ray", "ray", "pyarrow")
    else:
        refuse_options("is for --ray only.", "min_replicas", "max_replicas")
    if min_replicas > max_replicas:
        raise click.UsageError("--min-replicas must not exceed --max-replicas.")
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("give --tls-cert and --tls-key, or neither.")
    if workers > 1 and not hasattr(os, "fork"):
        raise click.UsageError("--workers: this system can't fork processes.")
    _check_networks(options)

    def read_settings() -> Settings:
        tokens, twilio = _tokens(token_file), _twilio_auth_token(twilio_auth_token_file)
        settings = Settings(
            tokens=_with_twilio(tokens, twilio),
            twilio_auth_token=twilio,
            webhook_secret=_webhook_secret(webhook_secret_file),
            max_body_bytes=max_body_mib * MIB,
            max_buffered_bytes=max(max_buffered_mib, 4 * max_body_mib) * MIB,
            max_streams=STREAMS_PER_WORKER * workers if max_streams is None else max_streams,
            workers=workers,
            bundle=bundles[0].where if on_ray and bundles else None,
            bundles=() if on_ray else bundles,
            **options,
        )
        if audiosocket is not None:
            _check_audiosocket(settings)
        return settings

    settings = read_settings()
    check_model_control(settings)
    if not settings.tokens and unix_socket is None and not _is_loopback(host):
        click.echo(
            f"Warning: {host} is open to other machines, and no token is required.", err=True
        )
    if on_ray:
        from emo_serving.on_ray.server import serve_on_ray  # noqa: PLC0415  (needs the extra)

        serve_on_ray(settings, (host, port), (min_replicas, max_replicas), _print_address)
        return
    addresses = _Addresses(host, port, unix_socket, grpc_port, audiosocket)
    tls = Tls(tls_cert, tls_key) if tls_cert and tls_key else None
    _listen_and_serve(read_settings, settings, addresses, tls)


@dataclass(frozen=True)
class _Addresses:
    """Where to listen."""

    host: str
    port: int
    unix_socket: Path | None
    grpc_port: int | None
    audiosocket: str | None


def _listen_and_serve(
    read_settings: Callable[[], Settings], settings: Settings, at: _Addresses, tls: Tls | None
) -> None:
    from emo_serving.server import listen, listen_unix, serve  # noqa: PLC0415  (needs the extra)

    with contextlib.ExitStack() as stack:
        if at.unix_socket is not None:
            listening = stack.enter_context(listen_unix(at.unix_socket))
        else:
            listening = stack.enter_context(listen(at.host, at.port, stuck_s=settings.idle_s))
        grpc = audiosocket = None
        if at.grpc_port is not None:
            grpc = stack.enter_context(_reserve_grpc_port(at.host, at.grpc_port)).getsockname()[:2]
        if at.audiosocket is not None:
            chosen = split_address("--audiosocket", at.audiosocket)
            audiosocket = stack.enter_context(listen(*chosen, stuck_s=settings.idle_s))

        def ready() -> None:
            if grpc is not None:
                _print_address(grpc[0], grpc[1], "grpcs" if tls else "grpc")
            if at.unix_socket is not None:
                click.echo(f"unix:{at.unix_socket}", err=True)
            else:
                address = listening.getsockname()
                _print_address(address[0], address[1], "https" if tls else "http")
            if audiosocket is not None:
                click.echo("audiosocket {}:{}".format(*audiosocket.getsockname()), err=True)

        if settings.workers == 1:
            serve(settings, listening, ready, tls, audiosocket=audiosocket, grpc=grpc)
        else:
            from emo_serving.workers.supervisor import supervise  # noqa: PLC0415  (not on Windows)

            supervise(read_settings, listening, ready, tls, audiosocket=audiosocket, grpc=grpc)


def _reserve_grpc_port(host: str, port: int) -> socket.socket:
    require_extra("grpc", "grpc", "google.protobuf")
    from emo_serving.on_grpc.port import reserve_port  # noqa: PLC0415  (needs the extra)

    return reserve_port(host, port)


def _check_audiosocket(settings: Settings) -> None:
    names = [token.name for token in settings.tokens]
    if settings.audiosocket_owner is not None and settings.audiosocket_owner not in names:
        raise click.UsageError("--audiosocket-owner: there is no token of this name.")
    if len(names) > 1 and settings.audiosocket_owner is None:
        raise click.UsageError(
            "there are several tokens: name the one that AudioSocket calls belong to "
            "(--audiosocket-owner)."
        )


def _print_address(host: str, port: int, scheme: str = "http") -> None:
    name = f"[{host}]" if ":" in host else host
    click.echo(f"{scheme}://{name}:{port}/", err=True)


def _tokens(file: Path | None) -> tuple[Token, ...]:
    if file is not None:
        return read_token_file(file)
    secret = os.environ.get(TOKEN_VARIABLE)
    return (only_token(secret),) if secret else ()


def _twilio_auth_token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(TWILIO_VARIABLE) or None
    tokens = read_token_file(file)
    if len(tokens) > 1:
        raise click.UsageError(
            f"--twilio-auth-token-file: {file} has several tokens: give a file with the auth token "
            "only."
        )
    return tokens[0].secret


def _with_twilio(tokens: tuple[Token, ...], auth_token: str | None) -> tuple[Token, ...]:
    """Let the calls of Twilio belong to the only token."""
    if auth_token is None or not tokens:
        return tokens
    if len(tokens) > 1:
        raise click.UsageError(
            "there are several tokens: set twilio_auth_token of one of them in the token file "
            f"instead of --twilio-auth-token-file and {TWILIO_VARIABLE}."
        )
    return (replace(tokens[0], twilio_auth_token=auth_token),)


def _webhook_secret(file: Path | None) -> str | None:
    if file is not None:
        return read_secret_file(file)
    secret = os.environ.get(WEBHOOK_SECRET_VARIABLE)
    return check_secret(secret, WEBHOOK_SECRET_VARIABLE) if secret else None


def _check_networks(options: dict[str, Any]) -> None:
    given = [("--proxy-headers", network) for network in options["trusted_proxies"]]
    given += [("--audiosocket-client", network) for network in options["audiosocket_clients"]]
    for option, network in given:
        try:
            if network != "*":
                ipaddress.ip_network(network)  # uvicorn ignores networks with host bits
        except ValueError:
            raise click.UsageError(
                f"{option} {network}: give an IP address, a network such as 10.0.0.0/8, or *."
            ) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    main()
