"""Front-end settings of a Hugging Face preprocessor_config.json."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emo_models.errors import CheckpointError
from emo_models.modeling.source import CONFIG
from emo_runtime.bundle.front_ends import (
    FrontEndSettings,
    KaldiFbankSettings,
    LogMelSettings,
    WaveformSettings,
)

PREPROCESSOR = "preprocessor_config.json"
_AST_HOP_S = 0.01
# Window, hop and mel filters of these extractors are numbers of samples at this rate.
_SPECTRUM_RATE = 16_000
_RATES = range(4000, 192_001)


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


def check_feature_width(directory: Path, config: Any, front_end: FrontEndSettings) -> None:
    """Compare the kind and the width of the features with what the network of config.json reads.

    Raises:
        CheckpointError: They differ.
    """
    if hasattr(config, "conv_dim"):
        wanted: tuple[str, int] = ("waveform", 1)
    elif config.model_type == "whisper":
        wanted = ("log_mel", config.num_mel_bins)
    else:
        width = getattr(config, "feature_projection_input_dim", None) or config.num_mel_bins
        wanted = ("kaldi_fbank", width)
    given = (front_end.__struct_config__.tag, _width(front_end))
    if given != wanted:
        raise CheckpointError(
            f"{directory}: {PREPROCESSOR} describes {given[0]} features of width {given[1]}, the "
            f"network of {CONFIG} reads {wanted[0]} features of width {wanted[1]}. The two files "
            "are of different models."
        )


def _width(front_end: FrontEndSettings) -> int:
    if isinstance(front_end, LogMelSettings):
        return front_end.n_mels
    if isinstance(front_end, KaldiFbankSettings):
        return front_end.n_mels * front_end.stack
    return 1


def _waveform(values: Mapping[str, Any], _max_frames: int | None) -> WaveformSettings:
    rate = values.get("sampling_rate", 16_000)
    if not isinstance(rate, int) or rate not in _RATES:
        raise ValueError(
            f"sampling_rate {rate!r} is not a rate in Hz from {_RATES[0]:,} to {_RATES[-1]:,}"
        )
    return WaveformSettings(
        sample_rate=rate,
        normalize=bool(values.get("do_normalize", True)),
    )


def _log_mel(values: Mapping[str, Any], _max_frames: int | None) -> LogMelSettings:
    _only(values, sampling_rate=_SPECTRUM_RATE, do_normalize=False, dither=0.0)
    seconds = float(values.get("chunk_length", 30))
    return LogMelSettings(
        n_fft=int(values.get("n_fft", 400)),
        hop_length=int(values.get("hop_length", 160)),
        n_mels=int(values.get("feature_size", 80)),
        pad_s=seconds,
        max_s=seconds,
    )


def _seamless(values: Mapping[str, Any], max_frames: int | None) -> KaldiFbankSettings:
    _only(values, sampling_rate=_SPECTRUM_RATE)
    settings = KaldiFbankSettings(
        n_mels=int(values.get("num_mel_bins", 80)),
        stack=int(values.get("stride", 2)),
        max_s=None,
    )
    if max_frames is None:
        return settings
    return KaldiFbankSettings(
        n_mels=settings.n_mels,
        stack=settings.stack,
        max_s=max_frames * settings.hop_length / settings.sample_rate,
    )


def _ast(values: Mapping[str, Any], _max_frames: int | None) -> KaldiFbankSettings:
    _only(values, sampling_rate=_SPECTRUM_RATE)
    frames = int(values.get("max_length", 1024))
    normalized = bool(values.get("do_normalize", True))
    return KaldiFbankSettings(
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


def _only(values: Mapping[str, Any], **supported: object) -> None:
    for name, value in supported.items():
        if values.get(name, value) != value:
            raise ValueError(f"{name} {values[name]!r} is not supported, only {value!r}")


_READERS: dict[str, Callable[[Mapping[str, Any], int | None], FrontEndSettings]] = {
    "Wav2Vec2FeatureExtractor": _waveform,
    "WhisperFeatureExtractor": _log_mel,
    "SeamlessM4TFeatureExtractor": _seamless,
    "ASTFeatureExtractor": _ast,
}
