"""``emo-train synthetic`` and ``emo-train trim``: inputs of a text network."""

# ruff: noqa: PLC0415  (a command imports what it needs: --help works without torch)

from __future__ import annotations

import csv
import io
from pathlib import Path

import click

from emo_models.atomic import atomic_text
from emo_runtime.cli.common import Command, examples, require_extra

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(epilog=examples("emo-train synthetic --output synthetic.csv"), cls=Command)
@click.option("--share", type=click.FloatRange(0, min_open=True), default=1.0,
              help="Rows of each label, as a share of the default numbers.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of the random choices.")
@click.option("--exclude", type=_FILE, multiple=True,
              help="CSV table with a text column: sentences similar to its rows are left "
              "out.")  # fmt: skip
@click.option("--output", type=_FILE, required=True, help="CSV table to write: id, label, text.")
def synthetic(share: float, seed: int, exclude: tuple[Path, ...], output: Path) -> None:
    """Write Spanish sentences with labels, generated from this project's templates."""
    from emo_models.data.corpora import Needs, read_csv
    from emo_models.data.synthetic import COUNTS, synthetic_sentences

    held_out = [
        row.text or ""
        for path in exclude
        for row in read_csv(path, split="test", needs=Needs(text=True, audio=False))
    ]
    counts = {label: max(1, round(share * count)) for label, count in COUNTS.items()}
    rows = synthetic_sentences(counts, seed=seed, exclude=held_out)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("id", "label", "text"))
    writer.writerows((f"synthetic-{n}", row.label, row.text) for n, row in enumerate(rows))
    atomic_text(output, stream.getvalue())
    click.echo(f"wrote {output}: {len(rows)} sentences")


@click.command(
    epilog=examples(
        "emo-train trim --encoder ./multilingual-e5-small --text corpus.txt.xz --output ./trimmed"
    ),
    cls=Command,
)
@click.option("--encoder", type=click.Path(file_okay=False, path_type=Path), required=True,
              help="Directory of an encoder with a unigram tokenizer, such as "
              "multilingual-e5-small.")  # fmt: skip
@click.option("--vocabulary", type=click.IntRange(5), default=20_000, help="Pieces to keep.")
@click.option("--layers", type=click.IntRange(1), help="Layers to keep, from the first.  "
              "[default: all]")  # fmt: skip
@click.option("--text", "texts", type=_FILE, multiple=True, required=True,
              help="Plain text, one piece per line; .xz is read too. Files count "
              "equally.")  # fmt: skip
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), required=True,
              help="Directory to write.")  # fmt: skip
def trim(
    encoder: Path, vocabulary: int, layers: int | None, texts: tuple[Path, ...], output: Path
) -> None:
    """Trim an encoder's vocabulary to what a corpus needs, and drop its last layers."""
    require_extra("train", "torch", "transformers", "safetensors")
    from emo_models.training.trim_vocabulary import trim_encoder

    report = trim_encoder(encoder, output, texts=texts, vocabulary=vocabulary, layers=layers)
    for name, figures in report["coverage"].items():
        click.echo(
            f"{name}: {report['pieces'][name]:,} pieces, "
            f"{figures['tokens_per_word']:.3f} tokens per word, "
            f"{figures['unknown_tokens']:.4%} of tokens unknown, "
            f"{figures['lines_with_unknown']:.2%} of {figures['lines']:,} held-out lines with one"
        )
    click.echo(f"wrote {output}: {report['layers']} layers, {report['parameters']:,} parameters")
