"""Front-end settings of a Hugging Face preprocessor_config.json."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emo_models.errors import CheckpointError
from emo_runtime.bundle.front_ends import (
    FrontEndSettings,
    KaldiFbankSettings,
    LogMelSettings,
    WaveformSettings,
)

PREPROCESSOR = "preprocessor_config.json"
_AST_HOP_S = 0.01


def read_front_end(directory: Path, *, max_frames: int | None = None) -> FrontEndSettings:
    """Return the front end that computes what a checkpoint's feature extractor does.

    Args:
        directory: Directory of the checkpoint.
        max_frames: Frames to which the checkpoint's own software truncates features (kaldi_fbank
            only).

    Raises:
        CheckpointError: The file is missing, of an unknown kind, or has settings that the front
            ends don't support.
    """
    path = directory / PREPROCESSOR
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise CheckpointError(
            f"{directory}: holds no {PREPROCESSOR}, so it is not known which features the model "
            "reads. Copy the file from the model's repository."
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not valid JSON: {error}") from None
    kind = values.get("feature_extractor_type") if isinstance(values, dict) else None
    if kind not in _READERS:
        raise CheckpointError(
            f"{path}: feature_extractor_type {kind!r} is not supported. Supported: "
            f"{', '.join(_READERS)}."
        )
    try:
        settings: FrontEndSettings = _READERS[kind](values, max_frames)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}.") from error
    return settings


def _waveform(values: Mapping[str, Any], _max_frames: int | None) -> WaveformSettings:
    return WaveformSettings(
        sample_rate=int(values.get("sampling_rate", 16_000)),
        normalize=bool(values.get("do_normalize", True)),
    )


def _log_mel(values: Mapping[str, Any], _max_frames: int | None) -> LogMelSettings:
    _only(values, do_normalize=False, dither=0.0)
    seconds = float(values.get("chunk_length", 30))
    return LogMelSettings(
        sample_rate=int(values.get("sampling_rate", 16_000)),
        n_fft=int(values.get("n_fft", 400)),
        hop_length=int(values.get("hop_length", 160)),
        n_mels=int(values.get("feature_size", 80)),
        pad_s=seconds,
        max_s=seconds,
    )


def _seamless(values: Mapping[str, Any], max_frames: int | None) -> KaldiFbankSettings:
    settings = KaldiFbankSettings(
        sample_rate=int(values.get("sampling_rate", 16_000)),
        n_mels=int(values.get("num_mel_bins", 80)),
        stack=int(values.get("stride", 2)),
        max_s=None,
    )
    if max_frames is None:
        return settings
    return KaldiFbankSettings(
        sample_rate=settings.sample_rate,
        n_mels=settings.n_mels,
        stack=settings.stack,
        max_s=max_frames * settings.hop_length / settings.sample_rate,
    )


def _ast(values: Mapping[str, Any], _max_frames: int | None) -> KaldiFbankSettings:
    frames = int(values.get("max_length", 1024))
    normalized = bool(values.get("do_normalize", True))
    return KaldiFbankSettings(
        sample_rate=int(values.get("sampling_rate", 16_000)),
        window="hann",
        scale=1.0,
        n_mels=int(values.get("num_mel_bins", 128)),
        normalize="fixed" if normalized else "none",
        mean=float(values.get("mean", -4.2677393)) if normalized else 0.0,
        std=2 * float(values.get("std", 4.5689974)) if normalized else 1.0,
        stack=1,
        pad_frames=frames,
        max_s=frames * _AST_HOP_S,
    )


def _only(values: Mapping[str, Any], **defaults: object) -> None:
    for name, default in defaults.items():
        if values.get(name, default) != default:
            raise ValueError(f"{name} {values[name]!r} is not supported")


_READERS: dict[str, Callable[[Mapping[str, Any], int | None], FrontEndSettings]] = {
    "Wav2Vec2FeatureExtractor": _waveform,
    "WhisperFeatureExtractor": _log_mel,
    "SeamlessM4TFeatureExtractor": _seamless,
    "ASTFeatureExtractor": _ast,
}
