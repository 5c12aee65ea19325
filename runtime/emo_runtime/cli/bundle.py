"""emo-bundle: inspect, verify, sign, upgrade and compare bundles."""

import importlib.metadata
from pathlib import Path
from typing import Any

import click
import msgspec

from emo_runtime.bundle.front_ends import FrontEndSettings
from emo_runtime.bundle.manifest import SCHEMA, SIGNATURE_NAME, Manifest, Precision, Task
from emo_runtime.bundle.reader import Bundle, open_bundle
from emo_runtime.bundle.signature import sign_bundle
from emo_runtime.bundle.upgrade import upgrade_bundle
from emo_runtime.cli.common import BundlePath, Group, bundle_options, examples, print_json
from emo_runtime.errors import MissingExtraError
from emo_runtime.recognizer import EmotionRecognizer


@click.group(
    cls=Group,
    epilog=examples(
        "emo-bundle inspect", "emo-bundle verify emo-es", "emo-bundle diff emo-es ./my-bundle"
    ),
)
@click.version_option(package_name="emo-runtime")
def main() -> None:
    """Inspect, verify, sign, upgrade and compare bundles."""


@main.command(epilog=examples("emo-bundle inspect", "emo-bundle inspect emo-es-small --json"))
@click.argument("directory", required=False, type=BundlePath())
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def inspect(directory: str | None, as_json: bool) -> None:
    """Show the contents of the bundle DIRECTORY. Default: the installed bundle."""
    bundle = open_bundle(directory)
    if as_json:
        print_json(msgspec.to_builtins(bundle.manifest))
    else:
        click.echo("\n".join(_format_text(bundle)))


@main.command(
    epilog=examples(
        "emo-bundle verify",
        "emo-bundle verify ./my-bundle --public-key owner.pub.pem",
        "emo-bundle verify ./my-bundle --reference runs/text --evaluate test.csv",
    )
)
@click.argument("directory", required=False, type=BundlePath())
@click.option("--reference", type=click.Path(), help="Checkpoint to compare with (extra [export]).")
@click.option(
    "--evaluate",
    type=click.Path(),
    help="With --reference: CSV of sentences. Default: built-in sentences.",
)
@click.option(
    "--label-separator",
    help="With --evaluate: separator of several labels in a cell, for a multi-label model.",
)
@click.option(
    "--min-agreement",
    default=0.99,
    show_default=True,
    help="With --reference: smallest share of equal labels.",
)
@click.option(
    "--public-key",
    type=click.Path(),
    help="PEM file of the key that the bundle must be signed with.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@bundle_options
def verify(
    *,
    directory: str | None,
    reference: str | None,
    evaluate: str | None,
    label_separator: str | None,
    min_agreement: float,
    public_key: str | None,
    as_json: bool,
    provider: str,
    fallback: bool,
    threads: int | None,
    variant: Precision | None,
) -> None:
    """Hash every file, check every graph, and compare with the golden answers on this machine.

    Exit code 1: the bundle is damaged or malformed. 3: the answers on this machine differ.
    """
    bundle = open_bundle(directory, public_key)
    bundle.verify()
    with EmotionRecognizer.open(
        bundle.path, providers=provider, fallback=fallback, threads=threads, variant=variant
    ) as recognizer:
        difference = recognizer.self_test()
        description = recognizer.describe()
    compared: dict[str, Any] | None = None
    if reference is not None:
        compared = _reference_check()(
            bundle,
            Path(reference),
            Path(evaluate) if evaluate else None,
            min_agreement,
            variant,
            label_separator=label_separator,
        )
    files = list(bundle.manifest.files())
    if as_json:
        print_json(
            {
                "files": len(files),
                "bytes": sum(file.bytes for file in files),
                "signature_checked": public_key is not None,
                "largest_difference": difference,
                "reference": compared,
                **description,
            }
        )
        return
    ran = ", ".join(
        f"{name} {graph['precision']} on {graph['providers'][0]}"
        for name, graph in description["graphs"].items()
    )
    click.echo(f"{bundle.path}: {len(files)} files match the manifest.")
    if public_key is not None:
        click.echo(f"The signature was made with the key in {public_key}.")
    click.echo(f"Self-test passed: largest difference of a probability {difference:.2g} ({ran}).")
    if compared is not None:
        click.echo("\n".join(_nested({"against the checkpoint": compared}, "")))


def _reference_check() -> Any:
    """Return the exporter's comparison, found by entry point: the runtime does not import it."""
    for entry in importlib.metadata.entry_points(group="emo_runtime.references", name="checkpoint"):
        try:
            return entry.load()
        except ImportError:
            break
    raise MissingExtraError('--reference needs the exporter: pip install "emo-runtime[export]"')


@main.command(epilog=examples("emo-bundle sign ./my-bundle --key owner.key.pem"))
@click.argument("directory", type=click.Path())
@click.option("--key", required=True, type=click.Path(), help="PEM file of an ed25519 private key.")
def sign(directory: str, key: str) -> None:
    """Sign the bundle DIRECTORY with an ed25519 key, for readers that require a signature."""
    bundle = open_bundle(directory)
    bundle.verify()
    sign_bundle(bundle.path, key)
    click.echo(f"{bundle.path}: signed ({SIGNATURE_NAME}).")


@main.command(epilog=examples("emo-bundle upgrade ./old-bundle ./new-bundle"))
@click.argument("directory", type=click.Path())
@click.argument("output", type=click.Path())
def upgrade(directory: str, output: str) -> None:
    """Write the bundle DIRECTORY with a manifest of the current schema to OUTPUT.

    Graphs, tokenizers and golden answers are copied unchanged. A signature is not copied: sign the
    new bundle with `emo-bundle sign`.
    """
    bundle = open_bundle(directory)
    path = upgrade_bundle(bundle, Path(output))
    click.echo(f"{path}: written with schema {SCHEMA}.")


@main.command(
    epilog=examples(
        "emo-bundle diff emo-es emo-es-research", "emo-bundle diff ./old-bundle ./new-bundle"
    )
)
@click.argument("first", type=click.Path())
@click.argument("second", type=click.Path())
def diff(first: str, second: str) -> None:
    """Show the differences between two bundles: manifest fields, and files by their hashes."""
    before, after = (_flat(msgspec.to_builtins(open_bundle(d).manifest)) for d in (first, second))
    changes = [
        f"{key}: {before.get(key, '-')} -> {after.get(key, '-')}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    ]
    click.echo("\n".join(changes) or "The bundles are equal.")


def _flat(value: object, path: str = "") -> dict[str, object]:
    """Return nested dictionaries as one, with dotted keys."""
    if not isinstance(value, dict) or not value:
        return {path: value}
    return {
        key: leaf
        for name, item in value.items()
        for key, leaf in _flat(item, f"{path}.{name}" if path else name).items()
    }


def _format_text(bundle: Bundle) -> list[str]:
    manifest = bundle.manifest
    return [
        f"{manifest.name} {manifest.version}   {bundle.path}",
        f"language   {manifest.language}",
        f"labels     {', '.join(manifest.labels)}",
        f"licence    {manifest.licence.weights} (weights): {manifest.licence.notice}",
        f"manifest   sha256 {bundle.sha256} ({'signed' if bundle.signed else 'not signed'})",
        "",
        *_tasks(manifest),
        "",
        *_files(manifest),
        *_section("verification", manifest.verification),
        *_section("provenance", manifest.provenance),
    ]


def _tasks(manifest: Manifest) -> list[str]:
    lines = []
    for name, task in manifest.tasks.items():
        graphs = " + ".join(graph for graph in manifest.graphs_of(name))
        lines.append(
            f"task {name:<8} {graphs}; temperature {task.temperature:.3g}{_preparation(task)}"
        )
    if manifest.audio is not None:
        lines.append(f"front end     {_front_end(manifest.audio)}")
    if manifest.adaptation is not None:
        lines.append(f"adaptation    to speakers, weight {manifest.adaptation.weight:g}")
    return lines


def _preparation(task: Task) -> str:
    preparation = task.preparation
    parts: list[str] = [*preparation.replace]
    parts += ["lowercase"] if preparation.lowercase else []
    parts += ["strip"] if preparation.strip else []
    return f"; text preparation: {', '.join(parts)}" if parts else ""


def _front_end(settings: FrontEndSettings) -> str:
    fields = msgspec.to_builtins(settings)
    kind = fields.pop("kind")
    defaults = msgspec.to_builtins(type(settings)())
    changed = [f"{name} {value}" for name, value in fields.items() if value != defaults[name]]
    rate = f"{settings.sample_rate:,} Hz"
    return f"{kind}, {rate}{': ' if changed else ''}{', '.join(changed)}"


def _files(manifest: Manifest) -> list[str]:
    return [
        f"{file.bytes:>12,} bytes   {file.sha256[:12]}   {file.file}" for file in manifest.files()
    ]


def _section(title: str, values: dict[str, Any]) -> list[str]:
    return ["", title, *_nested(values, "  ")] if values else []


def _nested(values: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for key, item in values.items():
        if isinstance(item, dict):
            lines += [f"{indent}{key}", *_nested(item, indent + "  ")]
        elif isinstance(item, list) and any(isinstance(entry, dict) for entry in item):
            lines += [f"{indent}{key}", *(f"{indent}  {_inline(entry)}" for entry in item)]
        else:
            shown = ", ".join(map(str, item)) if isinstance(item, list) else item
            lines.append(f"{indent}{key}: {shown}")
    return lines


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)


if __name__ == "__main__":
    main()
