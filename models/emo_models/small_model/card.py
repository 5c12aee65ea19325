"""The card of emo-es-small: its training, and the scores of its bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emo_models.atomic import atomic_text
from emo_models.errors import CheckpointError
from emo_models.labels import LABELS
from emo_models.runs.text import CHECKPOINT
from emo_models.small_model.figures import Figures

_NAMES = {
    "emospeech_test": "EmoSPeech 2024 test (official)",
    "emospeech_test_unseen": "EmoSPeech test, videos not in training",
    "meacorpus_2023_unseen": "MEACorpus test, rows and videos not in training",
}


def write_card(text_run: Path, fusion_run: Path, figures: Figures, output: Path) -> None:
    """Write the card of a bundle exported from both runs, with its ``figures``.

    Raises:
        CheckpointError: a run without metrics.json, or an encoder from another source.
    """
    text, fusion = (_metrics(run / CHECKPOINT) for run in (text_run, fusion_run))
    atomic_text(output, card(text, fusion, figures))


def check_runs(text_run: Path, fusion_run: Path) -> None:
    """Refuse runs without the test sets and baselines that the card lists.

    Raises:
        CheckpointError: names the option that the run lacks.
    """
    text, fusion = (_metrics(run / CHECKPOINT) for run in (text_run, fusion_run))
    for run, metrics, task in ((text_run, text, "text"), (fusion_run, fusion, "fusion")):
        if metrics.get("task") != task:
            raise CheckpointError(f"{run}: not a run of `emo-train {task}`.")
        if not metrics["test"]:
            raise CheckpointError(f"{run}: has no test set. Run emo-train {task} with --test.")
    if "baselines" not in text:
        raise CheckpointError(f"{text_run}: has no baselines. Run emo-train text with --baseline.")
    if "emospeech_test_clips" not in fusion["rows"]:
        raise CheckpointError(
            f"{fusion_run}: not made with --test emospeech/test.csv, which the card of "
            "emo-es-small lists. Write a card of your own and give it to emo-export with --card."
        )
    _pretraining(text["pretraining"])


def card(text: Mapping[str, Any], fusion: Mapping[str, Any], figures: Figures) -> str:
    """Return the card as Markdown, from the metrics of both runs and the scores of their bundle."""
    return _TEMPLATE.format(
        parameters=f"{text['parameters'] / 1e6:.1f}",
        labels=", ".join(LABELS),
        pretraining=_pretraining(text["pretraining"]),
        train_rows=f"{text['rows']['train'] + text['rows']['validation']:,}",
        text_table=_table(figures.text),
        baseline_table=_baselines(text, figures),
        classes_table=_classes(next(iter(figures.text.values()))),
        fusion_table=_table(figures.fusion),
        clips=_clips(fusion["rows"]),
        fusion_classes=_classes(next(iter(figures.fusion.values()))),
        temperatures=f"{text['temperature']:.3f} (text), {fusion['temperature']:.3f} (fusion)",
    )


def _pretraining(metrics: Mapping[str, Any]) -> str:
    if not metrics:
        raise CheckpointError(
            "the text run's encoder is not from `emo-train pretrain`: this card is for "
            "emo-es-small. Write a card of your own and give it to emo-export with --card."
        )
    seen, text = (f"{metrics[key] / 1e6:.1f} M" for key in ("tokens_seen", "corpus_tokens"))
    passes = metrics["recipe"]["transcript_passes"]
    return (
        f"{seen} tokens,\ndrawn from {text}: the corpora below, and {passes} times the "
        f"{metrics['transcripts']:,} training transcripts"
    )


def _table(reports: Mapping[str, Any]) -> str:
    lines = [
        "| rows | n | macro-F1, six | macro-F1 without fear | accuracy | ECE before / after |",
        "|---|---|---|---|---|---|",
    ]
    for name, figures in reports.items():
        lines.append(
            f"| {_title(name)} | {figures['rows']} | {_with_interval(figures, 'macro_f1')} "
            f"| {_with_interval(figures, 'macro_f1_without_fear')} | {figures['accuracy']:.3f} "
            f"| {figures['calibration_error_before']:.3f} / {figures['calibration_error']:.3f} |"
        )
    return "\n".join(lines)


def _baselines(text: Mapping[str, Any], figures: Figures) -> str:
    lines = [
        "| rows | majority | TF-IDF + linear SVM | this bundle minus SVM, six / without fear |",
        "|---|---|---|---|",
    ]
    for name, measured in figures.baselines.items():
        majority = text["baselines"][name]["majority"]
        cells = [
            " / ".join(f"{found[key]:.3f}" for key in ("macro_f1", "macro_f1_without_fear"))
            for found in (majority, measured["tfidf_svm"])
        ]
        compared = measured["bundle_minus_tfidf_svm"]
        differences = " / ".join(
            f"{found['difference']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"
            f" (p = {found['p']:.3f})"
            for found in (compared["macro_f1"], compared["macro_f1_without_fear"])
        )
        lines.append(f"| {_title(name)} | {cells[0]} | {cells[1]} | {differences} |")
    return "\n".join(lines)


def _classes(figures: Mapping[str, Any]) -> str:
    lines = ["| class | precision | recall | F1 | rows |", "|---|---|---|---|---|"]
    for label, found in figures["classes"].items():
        lines.append(
            f"| {label} | {found['precision']:.3f} | {found['recall']:.3f} | {found['f1']:.3f} "
            f"| {found['rows']} |"
        )
    return "\n".join(lines)


def _with_interval(figures: Mapping[str, Any], key: str) -> str:
    low, high = figures[f"{key}_interval"]
    return f"{figures[key]:.3f} [{low:.3f}, {high:.3f}]"


def _title(name: str) -> str:
    known, comma, more = name.partition(",")
    return _NAMES.get(known, known) + comma + more


def _clips(rows: Mapping[str, int]) -> str:
    return (
        f"{rows['train_clips']:,} training, {rows['validation_clips']} validation and "
        f"{rows['emospeech_test_clips']} test clips"
    )


def _metrics(directory: Path) -> dict[str, Any]:
    path = directory / "metrics.json"
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: can't be read ({error}). Give a finished run.") from None
    return document


_TEMPLATE = """# emo-es-small

Emotion of an utterance in Spanish, from its transcript, its sound, or both: {labels}.
A small BERT of our own (4 layers of 256, {parameters} M parameters, cased WordPiece vocabulary of
8,000) and the fusion network of Soto et al. (CogniCIC at EmoSPeech 2024): mean MFCCs (128) and the
mean of the BERT's last states, 256 + 256 -> 256 -> 6. The text classifier reads the mean state
too, and adds a linear head on hashed token uni- and bigrams (32,768 buckets), weighted on
validation rows.
The BERT was pretrained from scratch (masked words; two CPU cores, one hour) on {pretraining}.

**Licence of the weights: CC BY-NC-SA 4.0** (non-commercial), because of the corpora below. The
code is Apache-2.0.

## Data

| corpus | used for | licence |
|---|---|---|
| roicort/ConferenciasMatutinasAMLO (press) | masked-language pretraining | none stated |
| cligs/conha19 (novels, 1830-1910) | masked-language pretraining | Public Domain Mark 1.0 |
| Spanish MEACorpus 2023 transcripts (NLP-UMUTeam) | text, fusion | CC BY-NC 4.0 |
| EmoSPeech 2024 split of them | text, fusion, test | as MEACorpus |
| nEMO (Polish, acted) | sound of fusion | CC BY-NC-SA 4.0 |
| RAVDESS (English, acted; Livingstone & Russo 2018) | sound of fusion | CC BY-NC-SA 4.0 |

Text training rows: {train_rows}, the official EmoSPeech train and MEACorpus train, without any row
whose file name or text is in EmoSPeech test. MEACorpus adds no row of a test video; the
official train does share videos with the official test (393 of its 750 rows), and in this corpus
the video almost determines the label: read the figures on unseen videos as well.

**Fusion pairs are label-matched.** There is no free Spanish corpus with sound, transcript and
label: each transcript was paired with a clip of the same label of nEMO or RAVDESS
({clips}, no speaker in two of the three).
The fusion figures show that the network fuses; they are *not* comparable with EmoSPeech's Task 2
and say little about spontaneous Spanish speech. The sound is Polish and English, acted; only
RAVDESS has disgust.

## Figures

Measured on this bundle, with its int8 text graph; `emo-evaluate` prints the same (on another kind
of processor the last digit may differ). Settings and temperatures come from validation rows
(10 % of the training rows; other speakers for sound) and from cross-validation inside the training
rows (the averaging of five fine-tunings). The test sets were evaluated once for these networks, and
for two text and three fusion networks before them. 95 % intervals are bootstraps over rows.
Fear has 6 rows in EmoSPeech test, so the second column is more stable. The winner of EmoSPeech
2024 had 0.672 in Task 1, the paper implemented here 0.658, with large pre-trained networks; this
one is small, its pretraining short.

### Text (task 1)

{text_table}

Baselines on the same rows, macro-F1 six / without fear:

{baseline_table}

EmoSPeech test by class:

{classes_table}

### Sound and text (task 2), label-matched pairs, speakers not in training

{fusion_table}

"Sound alone" is the fusion network with the transcript marked as absent, over all test clips once
each. Fused, EmoSPeech test by class:

{fusion_classes}

Temperatures, fitted on validation: {temperatures}. ECE: expected calibration error, 15 bins.

## Intended use, and limits

Research and demonstrations: the tone of utterances in Spanish dialogue systems, of single
utterances of up to about 15 seconds. Not for decisions about people: emotion as annotators
perceive it is not what a person feels, the corpus is political and broadcast speech from Spain, the
acted sound is of other languages, and errors will differ between dialects, ages and genders in ways
that were not measured. `fear` can't be relied on. Telephone sound was not measured.

- **The law.** In the European Union, inferring the emotions of people at work and in education is
  prohibited, except for medical or safety reasons (AI Act, Article 5(1)(f)). Elsewhere the people
  concerned must be informed (Article 50(3)). A voice, and an answer about a person, are personal
  data (GDPR). Inference needs no network: sound and text do not leave the machine.
- **Labels that you don't need.** Do not show or store them. Filter the answer in your program
  (docs/responsible-use.md): the bundle has no option that hides a label.
"""
