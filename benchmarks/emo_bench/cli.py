"""emo-bench: measure latency, throughput and memory; compare two reports."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emo_runtime.cli.common import (
    Failure,
    GateFailure,
    Group,
    bundle_argument,
    examples,
    execution_options,
    print_json,
    require_extra,
)

if TYPE_CHECKING:
    from emo_bench.runner.plan import Plan

_DEFAULT_SCENARIOS = ("SingleStream", "MultiStream", "Server", "Offline", "stream", "cold")
# A run without --duration and --peers: two minutes with its start and its report.
_BUDGET_S = 112.0
_PEERS_DURATION_S = 8.0


class _RunByDefault(Group):
    """A group with the default command `run`: ``emo-bench --json``."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        own = {"-h", "--help", "--version"}
        # `run` has no arguments: a first word that is no option is a command, perhaps mistyped.
        if not arguments or (arguments[0].startswith("-") and arguments[0] not in own):
            arguments = ["run", *arguments]
        return super().parse_args(context, arguments)


@click.group(
    epilog=examples(
        "emo-bench",
        "emo-bench --bundle ./my-bundle --output runs/bench",
        "emo-bench compare old/report.json new/report.json",
    ),
    cls=_RunByDefault,
)
@click.version_option(package_name="emo-runtime")
def main() -> None:
    """Measure bundles on this machine. The default command is `run`."""


@main.command(
    epilog=examples(
        "emo-bench run",
        "emo-bench run --scenario SingleStream --duration 2 --rounds 1",
        "emo-bench run --bundle ./my-bundle --output runs/bench",
    )
)
@bundle_argument
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Choice(_DEFAULT_SCENARIOS, case_sensitive=False),
    help="Run this scenario only (may be repeated).",
)
@click.option("--peers", is_flag=True, help="Measure other engines too (extra [peers]).")
@click.option(
    "--checkpoint",
    type=click.Path(),
    help="With --peers: the checkpoint of the bundle, a folder with text/ and fusion/; for a "
    "bundle with a speech graph, the speech model or a folder with speech/ and encoder/.",
)
@click.option("--text-only", is_flag=True, help="Use transcripts without sound.")
@click.option(
    "--texts",
    type=click.Path(),
    help="Your utterances: a CSV file (columns text, audio, label) or a text file.",
)
@click.option("--audio", type=click.Path(), help="Folder of the sound files of --texts.")
@click.option("--samples", type=click.IntRange(1), default=1000, show_default=True,
              help="Queries of each scenario, over all rounds.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True,
              help="Rounds of each scenario.")  # fmt: skip
@click.option(
    "--duration",
    type=click.FloatRange(0.1),
    help="Time limit in seconds for each scenario and engine (stream: at least 15).  "
    "[default: all scenarios together about two minutes; with --peers 8 s each]",
)
@execution_options
@click.option("--bound", type=click.FloatRange(0.001), default=100.0, show_default=True,
              help="Server: bound of p99 in ms.")  # fmt: skip
@click.option("--calls", type=click.IntRange(1), default=48, show_default=True,
              help="Number of live calls of the stream scenario.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True,
              help="Seed of the utterances and arrivals.")  # fmt: skip
@click.option(
    "--output", type=click.Path(), help="Write report.json, report.md and plots to this folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def run(*, output: str | None, as_json: bool, **options: Any) -> None:
    """Measure a bundle in the scenarios of MLPerf, with live calls and from a cold start."""
    require_extra("bench", "rich", "mlperf_loadgen", "matplotlib")
    folder = _writable(output)
    from emo_bench.report.console import progress, show
    from emo_bench.runner.bench import BenchmarkRun

    plan = _plan(options)
    with progress() as on_progress:
        run = BenchmarkRun(plan, on_progress)
        try:
            run.run()
        except KeyboardInterrupt:
            report = run.report(interrupted=True)
        else:
            report = run.report()
        finally:
            run.close()
    if folder is not None:
        from emo_bench.report.write import write_report

        write_report(report, folder)
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(report))
    else:
        show(report)
    if failure := report.engines[0].failure:
        raise Failure(failure)
    if report.interrupted:
        raise Failure("interrupted: the report is incomplete.")


@main.command(
    "compare",
    epilog=examples(
        "emo-bench compare old/report.json new/report.json",
        "emo-bench compare old/report.json new/report.json --tolerance 0.1 --json",
    ),
)
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@click.option("--tolerance", type=click.FloatRange(0.0), default=0.05, show_default=True,
              help="Relative slowdown of NEW that is accepted.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
def compare_reports(old: str, new: str, tolerance: float, as_json: bool) -> None:
    """Compare two report.json files. Exit code 3 if NEW is slower than the tolerance allows."""
    from dataclasses import asdict

    import msgspec

    from emo_bench.report.compare import compare
    from emo_bench.report.schema import read_report

    before, after = read_report(Path(old)), read_report(Path(new))
    differences = compare(before, after, tolerance)
    if as_json:
        print_json({"differences": [msgspec.to_builtins(asdict(item)) for item in differences]})
    else:
        for item in differences:
            verdict = "REGRESSION" if item.regression else "differs" if item.significant else "same"
            click.echo(
                f"{item.engine:<16} {item.scenario:<13} {item.percentile:<4} "
                f"{item.old_ms:9.3f} -> {item.new_ms:9.3f} ms  x {item.ratio.value:.3f} "
                f"[{item.ratio.low:.3f}, {item.ratio.high:.3f}]  {verdict}"
            )
    if not differences:
        raise Failure("the two reports have no percentile in common: nothing was compared.")
    if before.machine.get("cpu") != after.machine.get("cpu"):
        click.echo("Warning: the reports come from different processors.", err=True)
    if slower := [item for item in differences if item.regression]:
        raise GateFailure(
            f"{len(slower)} of {len(differences)} figures are slower by more than {tolerance:.0%}."
        )


def _plan(options: dict[str, Any]) -> "Plan":
    from emo_bench.engines.registry import OURS, RIVALS, SPEECH_RIVALS
    from emo_bench.runner.plan import Plan
    from emo_bench.workload import Workload
    from emo_runtime.bundle.reader import open_bundle

    bundle = open_bundle(options["bundle"])
    tasks = bundle.manifest.tasks
    sound_alone = set(tasks) == {"audio"}
    if sound_alone and options["text_only"]:
        raise click.UsageError("--text-only: the bundle answers sound alone.")
    with_audio = sound_alone or ("fusion" in tasks and not options["text_only"])
    path = None if options["bundle"] is None else str(bundle.path.resolve())
    ours = {"bundle": path, "provider": options["provider"], "variant": options["variant"]}
    engines = [(OURS, ours)]
    if options["peers"]:
        speech = with_audio and any(
            graph.kind == "speech" for graph in bundle.manifest.graphs.values()
        )
        checkpoint = _checkpoint(options["checkpoint"], speech=speech)
        rivals = SPEECH_RIVALS if speech else RIVALS
        engines += [(name, {"checkpoint": checkpoint}) for name in rivals]
    return Plan(
        engines=engines,
        workload=Workload(
            texts=_resolved(options["texts"]),
            audio=_resolved(options["audio"]),
            count=min(options["samples"], 256),
            seed=options["seed"],
            with_audio=with_audio,
            with_text=not sound_alone,
        ),
        scenarios=options["scenarios"] or _DEFAULT_SCENARIOS,
        queries=options["samples"],
        rounds=options["rounds"],
        max_duration_s=options["duration"] or _PEERS_DURATION_S,
        budget_s=None if options["duration"] or options["peers"] else _BUDGET_S,
        threads=options["threads"],
        bound_ms=options["bound"],
        calls=options["calls"],
        seed=options["seed"],
        bundle=path,
    )


def _checkpoint(path: str | None, *, speech: bool) -> str:
    """Return the folder of the rivals' weights. Raises Failure."""
    if path is None:
        raise click.UsageError(
            "--peers needs --checkpoint: the checkpoint from which the bundle was exported."
        )
    if speech:
        if not any((Path(path) / part / "config.json").is_file() for part in ("", "speech")):
            raise Failure(
                f"{path}: no config.json and no speech/config.json. Give the directory of the "
                "speech model, or a folder with speech/ and encoder/ (or text/ and fusion/)."
            )
    elif not (Path(path) / "text" / "config.json").is_file():
        raise Failure(f"{path}: no text/config.json. Give a folder with text/ and fusion/.")
    return str(Path(path).resolve())


def _resolved(path: str | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def _writable(output: str | None) -> Path | None:
    """Create the folder of the report before anything is measured."""
    if output is None:
        return None
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".emo-bench"
    probe.touch()
    probe.unlink()
    return folder


if __name__ == "__main__":
    sys.exit(main())
