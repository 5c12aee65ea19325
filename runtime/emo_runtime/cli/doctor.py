"""emo-doctor: examine the installation, and print a block for a bug report."""

import sys
from collections.abc import Iterator
from typing import Any

import click

from emo_runtime.cli.common import BundlePath, Command, examples, print_json
from emo_runtime.diagnostics import Diagnosis, diagnose


@click.command(
    cls=Command,
    epilog=examples(
        "emo-doctor",
        "emo-doctor --bundle ./my-bundle",
        "emo-doctor --report",
        "emo-doctor --json",
    ),
)
@click.option(
    "--bundle",
    "bundles",
    multiple=True,
    type=BundlePath(),
    help="Also test this bundle (may be repeated). Installed bundles are always tested.",
)
@click.option("--report", is_flag=True, help="Print a block for a bug report, in Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@click.version_option(package_name="emo-runtime")
def main(*, bundles: tuple[str, ...], report: bool, as_json: bool) -> None:
    """Examine the installation: packages, machine, execution providers, bundles, extras.

    Each provider is tried on a bundle, in a process of its own. All output is without the names of
    the host, the user and the home folder.

    Exit codes: 0 usable, 1 something must be repaired, 3 the answers on this machine differ.
    """
    if report and as_json:
        raise click.UsageError("--report and --json exclude each other.")
    shown = sys.stderr.isatty()

    def on_step(name: str) -> None:
        if shown:
            click.echo(f"\r\x1b[Kexamining: {name}", err=True, nl=False)

    found = diagnose(bundles, on_step)
    if shown:
        click.echo("\r\x1b[K", err=True, nl=False)
    values = found.as_dict()
    if as_json:
        print_json(values)
    elif report:
        click.echo("\n".join(["```text", *_lines(values), "```"]))
    else:
        click.echo("\n".join([*_lines(values), "", _closing(found)]))
    if found.exit_code:
        raise SystemExit(found.exit_code)


def _closing(found: Diagnosis) -> str:
    if found.exit_code == 0:
        return "The installation is usable. For a bug report: emo-doctor --report"
    return "Repair the problems above. For a bug report: emo-doctor --report"


def _lines(values: dict[str, Any]) -> Iterator[str]:
    package = values["package"]
    yield f"emo-runtime {package['emo_runtime']}, {package['implementation']} {package['python']}"
    yield f"ONNX Runtime: {', '.join(package['onnxruntime_distributions']) or 'not installed'}"
    yield ""
    yield from _machine(values["machine"])
    yield ""
    yield "bundles"
    for bundle in values["bundles"] or ():
        name = f"{bundle['name']} {bundle['version'] or ''}".strip()
        mark = " (default)" if bundle["default"] else ""
        yield f"  {_mark(bundle['ok'])} {name}{mark}: {bundle['error'] or _passed(bundle)}"
    if not values["bundles"]:
        yield "  none is installed"
    yield "providers"
    for trial in values["providers"]:
        yield f"  {_provider(trial)}"
    if not values["providers"]:
        yield "  not tried: no bundle can be used"
    yield "extras"
    for extra in values["extras"]:
        missing = ", ".join(extra["missing"])
        yield f"  {_mark(extra['usable'])} [{extra['name']}]{f': {missing}' if missing else ''}"
    yield "packages"
    for name, version in sorted(values["distributions"].items()):
        yield f"  {name} {version}"
    yield "problems"
    for problem in values["problems"]:
        yield f"  {problem['severity']}: {problem['message']}"
    if not values["problems"]:
        yield "  none"


def _machine(machine: dict[str, Any]) -> Iterator[str]:
    quota, limit = machine["cgroup_quota"], machine["memory_limit_bytes"]
    yield f"system      {machine['system']}"
    yield f"processor   {machine['cpu']} ({', '.join(machine['cpu_flags']) or 'flags unknown'})"
    yield (
        f"cores       {machine['cores_usable']} usable ({machine['cores_from']}) of "
        f"{machine['cores_machine']}; cgroup quota: {'none' if quota is None else f'{quota:g}'}"
    )
    yield (
        f"memory      {_mib(machine['memory_bytes'])}, available "
        f"{_mib(machine['memory_available_bytes'])}, cgroup limit "
        f"{'none' if limit is None else _mib(limit)}"
    )
    yield f"huge pages  {'available' if machine['huge_pages'] else 'not available'}"


def _provider(trial: dict[str, Any]) -> str:
    if not trial["installed"]:
        return f"-  {trial['provider']}: not in this build of ONNX Runtime"
    attached = trial["error"] is None
    return f"{_mark(attached)} {trial['provider']}: {trial['error'] or _passed(trial)}"


def _passed(tested: dict[str, Any]) -> str:
    graphs = ", ".join(f"{name} {text}" for name, text in tested["graphs"].items())
    return f"self-test passed, largest difference {tested['difference']:.2g} ({graphs})"


def _mark(good: bool) -> str:
    return "ok" if good else "- "


def _mib(size: int | None) -> str:
    return "unknown" if size is None else f"{size >> 20:,} MiB"


if __name__ == "__main__":
    main()
