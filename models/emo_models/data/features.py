"""Frozen features of Task 2: mean MFCCs of sound, mean-pooled encoder states of text (4.2.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from emo_models.atomic import atomic_write
from emo_models.data.corpora import Row
from emo_models.errors import DataError
from emo_models.modeling.inference import device, predict_states, token_ids
from emo_models.modeling.load import TextCheckpoint
from emo_models.modeling.text_classifier import masked_mean
from emo_runtime.audio.decode import load_audio
from emo_runtime.audio.mfcc import MeanMfcc
from emo_runtime.bundle.front_ends import MeanMfccSettings
from emo_runtime.errors import AudioError
from emo_runtime.text.preparation import prepare

Floats = NDArray[np.float32]


def audio_contract(n_mfcc: int) -> MeanMfccSettings:
    """The paper's features (4.2.3): 22,050 Hz, librosa's defaults otherwise.

    Beyond 128 coefficients, the number of mel bands equals ``n_mfcc``: librosa's default of 128
    bands would silently limit the 256 coefficients of variant C to 128.
    """
    return MeanMfccSettings(n_mfcc=n_mfcc, n_mels=max(128, n_mfcc))


def audio_features(
    rows: Sequence[Row],
    contract: MeanMfccSettings,
    *,
    cache: Path | None = None,
    on_row: Callable[[int], None] = lambda _: None,
) -> Floats:
    """Return mean MFCC vectors, float32 [rows, n_mfcc], computed by the runtime's front end.

    Args:
        rows: rows with audio.
        contract: rate, frames, bands.
        cache: folder of cached features; reused while the sound files are unchanged.
        on_row: called with the number of rows done.

    Raises:
        DataError: unreadable sound; names the row.
    """
    path = cache / f"{_fingerprint(rows, contract)}.npy" if cache else None
    if path is not None and path.exists():
        kept: Floats = np.load(path)
        return kept
    front_end = MeanMfcc(contract)
    features = np.empty((len(rows), contract.n_mfcc), dtype=np.float32)
    for index, row in enumerate(rows):
        if row.audio is None:
            raise DataError(f"{row.where}: names no sound file.")
        try:
            features[index] = front_end(load_audio(row.audio, contract.sample_rate))
        except (AudioError, OSError) as error:
            raise DataError(f"{row.where}: {error}") from None
        on_row(index + 1)
    if path is not None:
        atomic_write(path, lambda temporary: _save(temporary, features))
    return features


def bandwidth(rows: Sequence[Row]) -> float:
    """Return the highest Nyquist frequency, in Hz, of the rows' sound files.

    Raises:
        DataError: unreadable sound; names the row.
    """
    highest = 0.0
    for row in rows:
        try:
            highest = max(highest, soundfile.info(row.audio).samplerate / 2)
        except (soundfile.SoundFileError, OSError, TypeError) as error:
            raise DataError(f"{row.where}: {error}") from None
    return highest


def text_features(rows: Sequence[Row], encoder: TextCheckpoint) -> Floats:
    """Return the masked mean of the encoder's last states, float32 [rows, hidden].

    The text is prepared first, as the runtime does (``TextCheckpoint.fusion_preparation``).
    """
    encoder.module.to(device())
    texts = [prepare(row.text or "", encoder.fusion_preparation) for row in rows]
    ids = token_ids(encoder.tokenizer, texts, encoder.max_tokens)
    return predict_states(encoder.module, encoder.tokenizer, ids, masked_mean)


def _fingerprint(rows: Sequence[Row], contract: MeanMfccSettings) -> str:
    digest = hashlib.sha256(repr(contract).encode())
    for row in rows:
        if row.audio is not None and row.audio.exists():
            status = row.audio.stat()
            digest.update(f"{row.audio.absolute()}|{status.st_size}|{status.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]


def _save(path: Path, features: Floats) -> None:
    with path.open("wb") as stream:
        np.save(stream, features)
