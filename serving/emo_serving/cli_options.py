"""Options of emo-serve: limits and times with the defaults of the settings, and webhooks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from emo_serving.settings import MIB, NAME, WEBHOOK_SECRET_VARIABLE, BundleSource, Settings

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
DEFAULTS = Settings()
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def limit(name: str, text: str, minimum: int = 0) -> Decorator:
    """Return an option for a limit of the settings; None stands for no limit."""
    default = getattr(DEFAULTS, name.removeprefix("--").replace("-", "_"))
    return click.option(
        name, type=click.IntRange(minimum), default=default, show_default=True, help=text
    )


def seconds(name: str, text: str, minimum: float = 0.1) -> Decorator:
    """Return an option for a time of the settings."""
    default = getattr(DEFAULTS, name.removeprefix("--").replace("-", "_"))
    return click.option(
        name, type=click.FloatRange(minimum), default=default, show_default=True, help=text
    )


def mib(name: str, text: str) -> Decorator:
    """Return an option in MiB for a limit of the settings in bytes."""
    field = name.removeprefix("--").replace("-mib", "-bytes").replace("-", "_")
    default = getattr(DEFAULTS, field) // MIB
    return click.option(name, type=click.IntRange(1), default=default, show_default=True, help=text)


def split_address(option: str, address: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``. Raises UsageError."""
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise click.UsageError(f"{option} {address}: give HOST:PORT.")
    return host.strip("[]"), int(port)


class BundleParameter(click.ParamType):  # type: ignore[type-arg]
    """``BUNDLE`` or ``NAME=BUNDLE``."""

    name = "BUNDLE"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> BundleSource:
        """Return the source. Raises BadParameter."""
        if isinstance(value, BundleSource):
            return value
        name, separator, where = str(value).partition("=")
        if not separator or "/" in name or Path(value).exists():
            return BundleSource(value)
        if not NAME.fullmatch(name) or not where:
            self.fail(
                f"{value}: give BUNDLE or NAME=BUNDLE; a name has letters, digits, '.', '-' and "
                "'_' (at most 100).",
                parameter,
                context,
            )
        return BundleSource(where, name)

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split the value of a variable at spaces, unless it is one directory."""
        return [rv] if Path(rv).is_dir() else rv.split()


def check_model_control(settings: Settings) -> None:
    """Raise UsageError if nobody could load bundles."""
    if settings.bundle_folder is not None and not settings.model_control:
        raise click.UsageError("--bundle-folder is for --model-control only.")
    if settings.model_control and not any(token.model_control for token in settings.tokens):
        raise click.UsageError(
            "--model-control needs a token that permits it: --token-file with one token, or with "
            "'model_control = true' in an entry of [[tokens]]."
        )


def bundles_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose the bundles."""
    for option in reversed(_BUNDLES_OPTIONS):
        function = option(function)
    return function


def audiosocket_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of AudioSocket."""
    for option in reversed(_AUDIOSOCKET_OPTIONS):
        function = option(function)
    return function


def webhook_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of webhooks."""
    for option in reversed(_WEBHOOK_OPTIONS):
        function = option(function)
    return function


_BUNDLES_OPTIONS: list[Decorator] = [
    click.option(
        "--bundle",
        "bundles",
        multiple=True,
        type=BundleParameter(),
        envvar="EMO_SERVE_BUNDLE",
        help="Directory or installed name of a bundle, or its URI with --ray. NAME=BUNDLE gives it "
        "another name; several bundles are served, and the first is the default.  [default: "
        "emo-es]",
    ),
    click.option(
        "--reload-s",
        type=click.FloatRange(0),
        default=DEFAULTS.reload_s,
        show_default=True,
        help="Look for replaced bundles so often, and load them; 0: only after SIGHUP.",
    ),
    click.option(
        "--model-control",
        is_flag=True,
        help="Clients may load and unload bundles, if their token permits it.",
    ),
    click.option(
        "--bundle-folder",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="With --model-control: folder whose bundles can be loaded by name.",
    ),
]
_AUDIOSOCKET_OPTIONS: list[Decorator] = [
    click.option(
        "--audiosocket", metavar="HOST:PORT", help="Listen for Asterisk's AudioSocket too."
    ),
    click.option(
        "--audiosocket-client",
        "audiosocket_clients",
        multiple=True,
        metavar="ADDRESS",
        help="Address or network of an Asterisk server. Default: this machine only.",
    ),
    click.option(
        "--audiosocket-owner", metavar="NAME", help="Name of the token that these calls belong to."
    ),
]
_WEBHOOK_OPTIONS: list[Decorator] = [
    click.option("--webhook", metavar="URL", help="Send the events of live calls to this URL."),
    click.option(
        "--webhook-secret-file",
        type=FILE,
        help=f"File with the secret that signs these events. Or set {WEBHOOK_SECRET_VARIABLE}.",
    ),
    click.option(
        "--webhook-origin",
        "webhook_origins",
        multiple=True,
        metavar="ORIGIN",
        help="Scheme, host and port of the URLs that a call may name instead.",
    ),
    click.option(
        "--webhook-partial", is_flag=True, help="Send partial answers too, not only final ones."
    ),
    seconds("--webhook-timeout-s", "Time for the response of a webhook."),
    limit("--max-webhook-queue", "Events that may wait for one host of webhooks.", 1),
]
