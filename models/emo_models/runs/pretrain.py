"""``emo-train tokenizer`` and ``emo-train pretrain``: from plain text to an encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import click
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from emo_models.checkpoint import save_text
from emo_models.data.datasets import Tables, read_dataset
from emo_models.errors import DataError
from emo_models.recipes import PretrainRecipe
from emo_models.runs.state import begin_run, finish_run
from emo_models.runs.text import CHECKPOINT, MASKED_LANGUAGE
from emo_models.training.pretraining import corpus_ids, pretrain
from emo_models.training.tokenizer import read_lines, save_tokenizer, train_tokenizer

_REPORT_STEPS = 50


def run_tokenizer(
    texts: tuple[Path, ...], output: Path, *, vocab_size: int, positions: int
) -> None:
    """Train a vocabulary on text files and write it to ``output``."""
    _check_files(texts)
    tokenizer = train_tokenizer(lambda: read_lines(texts), vocab_size=vocab_size)
    save_tokenizer(tokenizer, output, positions=positions)


def run_pretrain(
    texts: tuple[Path, ...],
    tables: Tables,
    tokenizer_directory: Path,
    output: Path,
    recipe: PretrainRecipe,
    *,
    on_ready: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Start or resume pretraining, and write ``output/checkpoint`` (an encoder).

    Args:
        texts: plain text files.
        tables: tables of labelled utterances; the transcripts of their training rows are added,
            ``recipe.transcript_passes`` times.
        tokenizer_directory: directory with tokenizer.json.
        output: directory of the run.
        recipe: hyper-parameters.
        on_ready: called after all checks, before the first file is written.

    Raises:
        DataError: a file is missing or bad.
    """
    _check_files(texts)
    path = tokenizer_directory / "tokenizer.json"
    if not path.is_file():
        raise DataError(f"{path}: no such file. Make one with `emo-train tokenizer`.")
    tokenizer = Tokenizer.from_file(str(path))
    rows = read_dataset(tables).train if tables.train else []
    transcripts = [row.text or "" for row in rows] * recipe.transcript_passes
    ids = corpus_ids(chain(read_lines(texts), transcripts), tokenizer)
    text = hashlib.sha256(ids.tobytes()).hexdigest()
    begin_run(output, {"options": asdict(recipe), "text": text}, on_ready)
    losses: list[float] = []

    def on_step(step: int, loss: float, progress: float, rate: float) -> None:
        losses.append(loss)
        if step % _REPORT_STEPS == 0:
            recent = losses[-_REPORT_STEPS:]
            click.echo(
                f"step {step}  loss {sum(recent) / len(recent):.4f}  {progress:.1%}  "
                f"{rate:,.0f} tokens/s",
                err=True,
            )

    model, steps = pretrain(ids, tokenizer, recipe, output, on_step)
    metrics = {
        "task": MASKED_LANGUAGE,
        "recipe": asdict(recipe),
        "corpus_tokens": len(ids),
        "transcripts": len(rows),
        "tokens_seen": steps * recipe.batch_size * recipe.sequence_length,
        "last_loss": sum(losses[-_REPORT_STEPS:]) / max(1, len(losses[-_REPORT_STEPS:])),
    }
    save_text(
        output / CHECKPOINT,
        model.bert,
        PreTrainedTokenizerFast.from_pretrained(tokenizer_directory),
        metrics=metrics,
    )
    finish_run(output)
    return metrics


def _check_files(texts: tuple[Path, ...]) -> None:
    for path in texts:
        if not path.is_file():
            raise DataError(f"{path}: no such file.")
