"""Workloads: seeded synthetic utterances with the lengths of real speech, or the user's files."""

import csv
import importlib.resources
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import soundfile
from numpy.typing import NDArray

from emo_runtime.errors import EmoError

SAMPLE_RATE = 16_000
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3"})

# Frequent Spanish words. Only their lengths matter.
_WORDS = """a al algo ahora años así aunque bien cada casa casi como con cosa cuando de del desde
después día donde dos el ella en entonces era es esa ese eso esta estaba estamos este esto gente
gobierno ha hace hacer hasta hay he la las le lo los luego más me mejor mi mientras momento mucho
mundo muy nada ni no nos nosotros nunca o otra otro para parte pero poco por porque presidente
problema problemas pues que qué quien quiero realmente se sea seguridad ser si siempre sin sobre
somos son soy su sus también tan tanto te tenemos tener tengo tiempo tiene tienen toda todas todo
todos trabajo trabajadores tu un una uno usted ustedes vamos ver verdad vida y ya yo absolutamente
responsabilidad comunidad importante situación nuestros vergüenza alegría""".split()  # noqa: SIM905


@dataclass(frozen=True)
class Sample:
    """An utterance: transcript (empty: none), bytes of the sound file, and true label."""

    text: str
    audio: bytes | None
    label: str | None = None


class Workload(msgspec.Struct, frozen=True):
    """Description of a workload; the same description gives the same utterances in every process.

    ``texts`` and ``audio`` are the user's files (see ``own``); without ``texts`` the utterances
    are synthetic (see ``synthetic``). Without ``with_text`` their transcripts are left out, for
    bundles that answer sound alone.
    """

    texts: str | None = None
    audio: str | None = None
    count: int = 256
    seed: int = 0
    with_audio: bool = True
    with_text: bool = True


@dataclass(frozen=True)
class Lengths:
    """Lengths of one real utterance."""

    duration_s: float
    words: int
    characters: int


def real_lengths() -> list[Lengths]:
    """Return 256 lengths of MEACorpus utterances, sorted by duration (``data/README.md``)."""
    table = importlib.resources.files("emo_bench").joinpath("data/utterance_lengths.csv")
    rows = csv.DictReader(io.StringIO(table.read_text(encoding="utf-8")))
    return [
        Lengths(float(row["duration_s"]), int(row["words"]), int(row["characters"])) for row in rows
    ]


def synthetic(count: int, seed: int, *, with_audio: bool) -> list[Sample]:
    """Return utterances of Spanish words and speech-shaped noise with the lengths of real ones."""
    draw = np.random.default_rng(seed)
    table = real_lengths()
    chosen = [table[place] for place in draw.permutation(np.arange(count) % len(table))]
    return [
        Sample(_text(item, draw), _sound(item.duration_s, draw) if with_audio else None)
        for item in chosen
    ]


def own(texts: Path, audio: Path | None) -> list[Sample]:
    """Read the user's utterances.

    Args:
        texts: A CSV file with a column ``text``, ``audio`` or both, and an optional column
            ``label``, or a text file with one utterance per line.
        audio: Folder of the sound files. Without a column ``audio`` the files are used in the order
            of their names.

    Raises:
        EmoError: A file cannot be read or has no utterances.
    """
    try:
        content = texts.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EmoError(f"{texts}: cannot be read as UTF-8 text: {error}.") from None
    if texts.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(content)))
        if not rows or not {"text", "audio"} & rows[0].keys():
            raise EmoError(
                f"{texts}: needs a header with a column 'text' or 'audio', and at least one row."
            )
    else:
        rows = [{"text": line} for line in content.splitlines() if line.strip()]
        if not rows:
            raise EmoError(f"{texts}: has no line of text.")
    files = _sound_files(rows, texts, audio)
    return [
        Sample(row.get("text") or "", file, row.get("label") or None)
        for row, file in zip(rows, files, strict=True)
    ]


def _sound_files(
    rows: Sequence[dict[str, str]], texts: Path, audio: Path | None
) -> list[bytes | None]:
    if audio is None and "audio" not in rows[0]:
        return [None] * len(rows)
    folder = texts.parent if audio is None else audio
    if "audio" in rows[0]:
        paths = [folder / row["audio"] if row["audio"] else None for row in rows]
    else:
        found = sorted(path for path in folder.glob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
        if not found:
            raise EmoError(f"{folder}: no sound files in this folder (WAV, FLAC, OGG, Opus, MP3).")
        paths = [found[number % len(found)] for number in range(len(rows))]
    try:
        return [None if path is None else path.read_bytes() for path in paths]
    except OSError as error:
        raise EmoError(f"{error.filename}: {error.strerror}.") from None


def _text(lengths: Lengths, draw: np.random.Generator) -> str:
    """Return words until the transcript has as many characters as the real one."""
    words: list[str] = []
    remaining = lengths.characters
    while remaining > 0:
        word = str(draw.choice(_WORDS))
        words.append(word)
        remaining -= len(word) + 1
    return " ".join(words).capitalize() + "."


def _sound(duration_s: float, draw: np.random.Generator) -> bytes:
    """Return a 16-bit WAV file: noise with a falling spectrum, modulated at 4 Hz."""
    length = round(duration_s * SAMPLE_RATE)
    spectrum = np.fft.rfft(draw.normal(size=length))
    frequencies = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    spectrum /= 1 + (frequencies / 500) ** 2
    noise = np.fft.irfft(spectrum, length)
    noise *= 0.6 + 0.4 * np.sin(2 * np.pi * 4 * np.arange(length) / SAMPLE_RATE)
    samples: NDArray[np.int16] = (noise / np.abs(noise).max() * 16_000).astype(np.int16)
    stream = io.BytesIO()
    soundfile.write(stream, samples, SAMPLE_RATE, format="WAV")
    return stream.getvalue()


def load_samples(workload: Workload) -> list[Sample]:
    """Return the utterances of a workload. Raises EmoError."""
    if workload.texts is not None:
        audio = workload.audio
        samples = own(Path(workload.texts), None if audio is None else Path(audio))
    else:
        samples = synthetic(workload.count, workload.seed, with_audio=workload.with_audio)
    if workload.with_text:
        return samples
    if any(sample.audio is None for sample in samples):
        raise EmoError(
            "the bundle answers sound alone, and there are utterances without sound. Give --audio, "
            "or a column 'audio'."
        )
    return [replace(sample, text="") for sample in samples]
