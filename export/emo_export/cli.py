"""emo-export: from a trained checkpoint to a verified bundle."""

import importlib.util
from pathlib import Path
from typing import Any

import click

from emo_export.options import SPEECH_POOLINGS, TARGETS, Gate, Identity, Options, Sources
from emo_models.cli.options import (
    preparation_options,
    table_options,
    take_layout,
    take_preparation,
)
from emo_runtime.bundle.manifest import PRECISIONS, Precision
from emo_runtime.bundle.text_preparation import TextPreparation
from emo_runtime.cli.common import (
    Command,
    Failure,
    GateFailure,
    examples,
    print_json,
    require_extra,
)

_NEEDED = ("onnx", "optimum", "torch", "transformers", "safetensors", "rich")
_DEFAULT_LICENCE = "CC-BY-NC-SA-4.0"
_UNKNOWN_LICENCE = "LicenseRef-unknown"
_NOTICES = {
    _DEFAULT_LICENCE: "Non-commercial use only: the corpora that these weights were trained on ask "
    "for it.",
    _UNKNOWN_LICENCE: "The licence of these weights was not given (emo-export --licence).",
}


@click.command(
    epilog=examples(
        "emo-export --text runs/text/checkpoint --quantize --output ./my-bundle",
        "emo-export --text runs/text/checkpoint --fusion runs/fusion/checkpoint --quantize",
        "emo-export --text runs/text/checkpoint --target triton --output ./models",
    ),
    cls=Command,
)
@click.version_option(package_name="emo-runtime")
@click.option("--text", help="Text classifier: a checkpoint directory, a directory "
              "of optimum-cli export onnx, or a Hub id.")  # fmt: skip
@click.option("--encoder", help="Text side of --fusion, if not the classifier's own encoder.")
@click.option("--fusion", type=click.Path(), help="Fusion network: a directory of emo-train.")
@click.option("--speech", help="Speech encoder or audio classifier: a directory or a Hub id.")
@click.option(
    "--pooling",
    type=click.Choice(SPEECH_POOLINGS),
    help="Use --speech as an encoder without its head: pooling of its states over time.",
)
@click.option("--layers", type=click.IntRange(1), help="Keep the first layers of that encoder.")
@click.option(
    "--speech-emotion",
    help="Audio or multimodal model of the toolkit speech-emotion: a directory or a Hub id.",
)
@click.option(
    "--speech-emotion-kind",
    type=click.Choice(["audio", "mean"]),
    help="Kind of that model, where the names of its class and directory don't say it.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default="bundle",
    show_default=True,
    help="Directory to write.",
)
@click.option("--force", is_flag=True, help="Replace an export that is already there.")
@click.option(
    "--target",
    type=click.Choice(TARGETS),
    default="bundle",
    show_default=True,
    help="A bundle for emo-runtime, or a model repository for Triton.",
)
@click.option("--quantize", is_flag=True, help="Graphs in int8 (same as --precision int8).")
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(PRECISIONS),
    help="Of the text and speech graphs; several make several variants. int8-qdq (text only) is "
    "for OpenVINO's provider (extra [qdq]).  [default: fp32]",
)
@click.option(
    "--evaluate",
    type=click.Path(path_type=Path),
    help="Table of rows to measure on: text[, audio][, label].",
)
@click.option(
    "--calibrate", type=click.Path(path_type=Path), help="Table with labels to fit temperatures on."
)
@table_options(labels=False, separator=True)
@preparation_options
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 1),
    default=0.99,
    show_default=True,
    help="Share of equal labels, against the checkpoint in float32.",
)
@click.option(
    "--max-f1-loss",
    type=click.FloatRange(0, 1),
    default=0.005,
    show_default=True,
    help="Loss of macro-F1, where --evaluate has labels.",
)
@click.option(
    "--max-change",
    type=click.FloatRange(0, 1),
    default=0.02,
    show_default=True,
    help="Mean absolute change of the probabilities.",
)
@click.option("--no-gate", is_flag=True, help="Accept any loss; the manifest says so.")
@click.option("--name", help="Name in the manifest.  [default: that of the checkpoint]")
@click.option("--bundle-version", default="1.0", show_default=True, help="Version in the manifest.")
@click.option("--licence", help="Licence of the weights, as an SPDX expression.")
@click.option("--card", type=click.Path(path_type=Path), help="Model card, in Markdown.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def main(as_json: bool, **given: Any) -> None:
    """Convert a trained checkpoint into a bundle, and report its accuracy, size and speed.

    Without a checkpoint: that of emo-es-small, in the repository.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a gate was not met (nothing is written).
    """
    require_extra("export", *_NEEDED)
    options = _options(given)
    _check_early(options)
    from emo_export.console import Progress, show  # noqa: PLC0415
    from emo_export.evaluation.gate import GateError  # noqa: PLC0415
    from emo_export.pipeline import export  # noqa: PLC0415  (needs the extra)

    try:
        with Progress() as progress:
            report = export(options, progress)
    except GateError as error:
        raise GateFailure(str(error)) from None
    if as_json:
        print_json(report.as_json())
    else:
        show(report)


def _check_early(options: Options) -> None:
    """Check paths and tables before the import of torch, which takes seconds."""
    from emo_export.evaluation.rows import read_rows  # noqa: PLC0415
    from emo_export.packaging.target import check_target  # noqa: PLC0415
    from emo_models.modeling.source import read_config  # noqa: PLC0415

    check_target(options.output, force=options.force)
    sources = options.sources
    directories = (
        sources.text,
        sources.encoder,
        sources.fusion,
        sources.speech,
        sources.speech_emotion,
    )
    for source in filter(None, directories):
        if Path(source).is_dir():
            read_config(source)
    with_text = bool(sources.text or sources.fusion or sources.encoder)
    if sources.speech_emotion and not with_text:
        return  # whether it reads text is known from its weights only
    for table in filter(None, (options.evaluate, options.calibrate)):
        read_rows(table, options.layout, with_text=with_text)


def _options(given: dict[str, Any]) -> Options:
    preparation = take_preparation(given)
    text, fusion, encoder = given["text"], given["fusion"], given["encoder"]
    speech, toolkit = given["speech"], given["speech_emotion"]
    _check_sources(given)
    if given["quantize"] and given["precisions"]:
        raise click.UsageError("--quantize means --precision int8: give one of the two.")
    main_source = text or toolkit or speech or fusion
    default = None if main_source is not None else _default_checkpoint()
    if default is not None:
        text, fusion = str(default / "text"), str(default / "fusion")
        encoder = str(default / "encoder") if (default / "encoder").is_dir() else None
        speech = str(default / "speech") if (default / "speech").is_dir() else None
    own_card = default / "CARD.md" if default and (default / "CARD.md").is_file() else None
    precisions: tuple[Precision, ...] = given["precisions"] or (
        ("int8",) if given["quantize"] else ("fp32",)
    )
    licence = given["licence"] or (_DEFAULT_LICENCE if default else _UNKNOWN_LICENCE)
    notice = _NOTICES.get(licence, f"Licence of the weights: {licence}.")
    return Options(
        sources=Sources(
            text=text,
            encoder=encoder,
            fusion=fusion,
            speech=speech,
            pooling=given["pooling"],
            layers=given["layers"],
            speech_emotion=toolkit,
            speech_emotion_kind=given["speech_emotion_kind"],
            preparation=None if preparation == TextPreparation() else preparation,
        ),
        output=given["output"],
        identity=Identity(
            name=given["name"] or _title(default) or Path(main_source).resolve().name,
            version=given["bundle_version"],
            licence=licence,
            notice=notice,
            card=given["card"] or own_card,
        ),
        precisions=tuple(dict.fromkeys(precisions)),
        target=given["target"],
        force=given["force"],
        evaluate=given["evaluate"],
        calibrate=given["calibrate"],
        layout=take_layout(given),
        gate=Gate(
            min_agreement=given["min_agreement"],
            max_f1_loss=given["max_f1_loss"],
            max_change=given["max_change"],
            enforced=not given["no_gate"],
        ),
    )


def _check_sources(given: dict[str, Any]) -> None:
    """Raise UsageError for options that don't go together."""
    text, encoder, fusion = given["text"], given["encoder"], given["fusion"]
    speech, toolkit = given["speech"], given["speech_emotion"]
    if toolkit is not None and (speech is not None or fusion is not None):
        raise click.UsageError("--speech-emotion takes the place of --speech and --fusion.")
    if fusion is not None and text is None and encoder is None:
        raise click.UsageError("--fusion reads text embeddings: give --text or --encoder as well.")
    if encoder is not None and fusion is None and toolkit is None:
        raise click.UsageError(
            "--encoder is the text side of --fusion or --speech-emotion: give that as well."
        )
    if given["speech_emotion_kind"] is not None and toolkit is None:
        raise click.UsageError("--speech-emotion-kind is for --speech-emotion: give that as well.")
    for name in ("pooling", "layers"):
        if given[name] is not None and speech is None:
            raise click.UsageError(f"--{name} is for --speech: give that as well.")


def _title(checkpoint: Path | None) -> str | None:
    """Return the first heading of the checkpoint's card."""
    card = None if checkpoint is None else checkpoint / "CARD.md"
    if card is None or not card.is_file():
        return None
    lines = card.read_text(encoding="utf-8").splitlines()
    return next((line[2:].strip() for line in lines if line.startswith("# ")), None)


def _default_checkpoint() -> Path:
    """Return the path of the repository's trained checkpoint, next to the source of emo_models."""
    spec = importlib.util.find_spec("emo_models")
    for root in (spec and spec.submodule_search_locations) or ():
        directory = Path(root).parent / "checkpoints" / "emo-es-small"
        if (directory / "text").is_dir():
            return directory
    raise Failure(
        "the checkpoint of emo-es-small is not installed: it is in the repository only "
        "(models/checkpoints/emo-es-small). Clone the repository, or give --text."
    )


if __name__ == "__main__":
    main()
