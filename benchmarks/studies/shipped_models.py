"""Accuracy of the bundles that ship, on corpora that are not in the repository.

python -m studies.shipped_models DATA [--bundle NAME ...] [--clips N] [--json FILE]

DATA holds emospeech/, xed/, nemo/, ravdess/ and emodb/, as the training recipes read them. Every
answer is the runtime's, with the precision that it chooses. The figures:

- text: EmoSPeech's official test set, the rows of XED-es that no recipe trains on, and the fifty
  sentences of tests/data;
- sound: macro-F1 over the labels that the corpus has, for the first utterance of a speaker and
  after five others; as recorded, and as 8 kHz mu-law. Only corpora that the bundle was not trained
  on are listed;
- the share of clips that keep their label when the level changes.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from emo_models.data.augmentation import gain, mu_law
from emo_models.data.corpora import Needs, Row, read_csv
from emo_models.data.mixture import fold_of
from emo_models.data.text_augmentation import text_key
from emo_models.evaluation.leave_one_corpus_out import present_macro_f1
from emo_models.evaluation.report import report
from emo_runtime import EmotionRecognizer

BUNDLES = ("emo-es", "emo-es-research", "emo-es-small")
SENTENCES = Path(__file__).parents[2] / "tests" / "data" / "visitor_sentences.csv"
# Sound corpora that no weight of the bundle was trained on.
UNSEEN = {"emo-es": ("nemo", "ravdess"), "emo-es-small": ("emodb",)}
OTHERS = 5
LEVELS_DB = (-20.0, 12.0)

Clip = tuple[NDArray[np.float32], int]


def text_figures(recognizer: EmotionRecognizer, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the report of the task text on ``rows``."""
    scores = _scores([recognizer.recognize(row.text, task="text") for row in rows])
    targets = np.array([recognizer.labels.index(row.label) for row in rows])
    return report(targets, scores.argmax(1), scores, labels=recognizer.labels)


def sound_figures(
    recognizer: EmotionRecognizer, rows: Sequence[Row], clips: Sequence[Clip]
) -> dict[str, float]:
    """Return macro-F1 of the task audio, without and with OTHERS utterances of the speaker."""
    targets = np.array([recognizer.labels.index(row.label) for row in rows])
    classes = len(recognizer.labels)
    if recognizer.manifest.adaptation is None:
        answers = [recognizer.recognize(audio=clip, task="audio") for clip in clips]
        return {"first": present_macro_f1(targets, _scores(answers).argmax(1), classes)}
    vectors = []
    first = []
    for clip in clips:
        speaker = recognizer.speaker()
        first.append(recognizer.recognize(audio=clip, task="audio", speaker=speaker))
        # A clip without speech is not added to the profile.
        known = speaker.count > 0
        vectors.append(speaker.mean(np.zeros(speaker.width), weight=0.0) if known else None)
    rng = np.random.default_rng(0)
    later = []
    for number, (row, clip) in enumerate(zip(rows, clips, strict=True)):
        own = [i for i, other in enumerate(rows) if other.group == row.group and i != number]
        speaker = recognizer.speaker()
        for chosen in rng.permutation(own)[:OTHERS]:
            if (vector := vectors[chosen]) is not None:
                speaker.add(vector)
        later.append(recognizer.recognize(audio=clip, task="audio", speaker=speaker))
    return {
        "first": present_macro_f1(targets, _scores(first).argmax(1), classes),
        f"after {OTHERS}": present_macro_f1(targets, _scores(later).argmax(1), classes),
    }


def same_labels(recognizer: EmotionRecognizer, clips: Sequence[Clip]) -> dict[str, float]:
    """Return the share of clips whose label stays, by the change of the level in dB."""
    before = [recognizer.recognize(audio=clip, task="audio").label for clip in clips]
    return {
        f"{change:+.0f} dB": float(
            np.mean(
                [
                    recognizer.recognize(audio=(gain(samples, change), rate), task="audio").label
                    == label
                    for (samples, rate), label in zip(clips, before, strict=True)
                ]
            )
        )
        for change in LEVELS_DB
    }


def study(name: str, data: Path, limit: int | None) -> Iterator[tuple[str, Any]]:
    """Yield the figures of one bundle, by test set."""
    with EmotionRecognizer.open(name) as recognizer:
        if "text" in recognizer.tasks:
            for test, rows in text_sets(data).items():
                yield test, text_figures(recognizer, rows)
        if "audio" not in recognizer.tasks:
            return
        for corpus in UNSEEN.get(recognizer.manifest.name, ()):
            rows = _spread(_sound_rows(data, corpus), limit)
            clips = [_read(row) for row in rows]
            yield corpus, sound_figures(recognizer, rows, clips)
            coded = [(mu_law(samples, rate), rate) for samples, rate in clips]
            yield f"{corpus}, 8 kHz mu-law", sound_figures(recognizer, rows, coded)
        rows = _spread(_sound_rows(data, "emodb"), limit)
        yield "level", same_labels(recognizer, [_read(row) for row in rows])


def text_sets(data: Path) -> dict[str, list[Row]]:
    """Return the labelled texts by test set."""
    xed = read_csv(data / "xed" / "xed-es.csv", needs=Needs(text=True))
    return {
        "emospeech test": read_csv(data / "emospeech" / "test.csv", needs=Needs(text=True)),
        "xed-es held out": [row for row in xed if fold_of(text_key(row.text or ""), 10) == 0],
        "visitor sentences": read_csv(SENTENCES, needs=Needs(text=True)),
    }


def main() -> None:
    """Print a line for each figure, and write them as JSON if asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", action="append", help="name or directory; default: all three")
    parser.add_argument("--clips", type=int, help="at most so many clips of a corpus")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for name in options.bundle or BUNDLES:
        found[name] = {}
        for test, figures in study(name, options.data, options.clips):
            found[name][test] = figures
            print(f"{name:<16} {test:<24} {_line(figures)}", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _line(figures: dict[str, Any]) -> str:
    if "macro_f1" not in figures:
        return "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
    low, high = figures["macro_f1_interval"]
    return (
        f"macro-F1 {figures['macro_f1']:.3f} [{low:.3f}, {high:.3f}]  "
        f"without fear {figures['macro_f1_without_fear']:.3f}  "
        f"accuracy {figures['accuracy']:.3f}  calibration {figures['calibration_error']:.3f}"
    )


def _sound_rows(data: Path, corpus: str) -> list[Row]:
    return read_csv(data / corpus / f"{corpus}.csv", needs=Needs(audio=True))


def _spread(rows: Sequence[Row], limit: int | None) -> list[Row]:
    if limit is None or limit >= len(rows):
        return list(rows)
    return [rows[i] for i in np.linspace(0, len(rows) - 1, limit).astype(int)]


def _read(row: Row) -> Clip:
    samples, rate = soundfile.read(str(row.audio), dtype="float32")
    return samples, rate


def _scores(answers: Sequence[Any]) -> NDArray[np.float64]:
    return np.array([list(answer.scores.values()) for answer in answers])


if __name__ == "__main__":
    main()
