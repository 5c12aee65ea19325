"""Print emo-serve's options and their environment variables as a Markdown table.

``python -m emo_serving.option_table > docs/operate/options.md`` updates the documentation.
"""

import click

from emo_serving.cli import main
from emo_serving.settings import ENVIRONMENT_PREFIX, TOKEN_VARIABLE

_HEAD = f"""# Options of emo-serve

Generated from the command by `python -m emo_serving.option_table`. Each option can also be set by
the environment variable in the second column; several values of one variable are separated by
spaces. `{TOKEN_VARIABLE}` is the bearer token itself.

In Kubernetes, a service named `emo-serve` sets `EMO_SERVE_PORT` in other containers of its
namespace: give it another name, or set `enableServiceLinks: false`.

| option | environment variable | default | meaning |
|---|---|---|---|
"""


def option_table() -> str:
    """Return the page."""
    context = click.Context(main, info_name="emo-serve", **main.context_settings)
    rows = [
        _row(option, context)
        for option in main.params
        if isinstance(option, click.Option) and option.expose_value
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _row(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    named = option.envvar or f"{ENVIRONMENT_PREFIX}_{(option.name or '').upper()}"
    variable = f"`{named}`"
    default = option.get_default(context)
    shown = f"`{default}`" if isinstance(default, str | int | float) and default else ""
    meaning = " ".join((option.help or "").split()).replace("|", "\\|")
    return f"| {names} | {variable} | {shown} | {meaning} |"


if __name__ == "__main__":
    click.echo(option_table(), nl=False)
