"""Front-end settings of the manifest: a union tagged by ``kind``.

Each struct validates itself. A contradiction is a ValueError when a struct is built in Python;
``msgspec.convert`` reports it as a ValidationError with the path in the document.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec

SampleRate = Annotated[int, msgspec.Meta(ge=4000, le=192_000)]
SampleCount = Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
FftLength = Annotated[int, msgspec.Meta(ge=16, le=1 << 16)]
BandCount = Annotated[int, msgspec.Meta(ge=1, le=1024)]
NotNegative = Annotated[float, msgspec.Meta(ge=0.0)]
Positive = Annotated[float, msgspec.Meta(gt=0.0)]
Duration = Annotated[float, msgspec.Meta(ge=1.0, le=3600.0)]


class Level(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Level normalization of a whole utterance.

    ``target_dbfs`` is the RMS after it, where a constant signal of 1 has 0 dBFS. Quiet sound is
    amplified by at most ``max_gain_db``; loud sound is attenuated without a limit.
    """

    target_dbfs: Annotated[float, msgspec.Meta(ge=-80.0, le=0.0)]
    max_gain_db: Annotated[float, msgspec.Meta(ge=0.0, le=100.0)]


class FrontEndBase(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True
):
    """Fields that all front ends have.

    ``max_s`` is the longest sound that the next graph gets at once. A longer one is cut
    (``truncate``), or divided into windows whose embeddings are averaged (``windows``).
    ``bandwidth_hz`` is the highest frequency in the training sound; None: not known.
    """

    sample_rate: SampleRate = 16_000
    channels: Literal["mean"] = "mean"
    resampler: Literal["soxr_hq"] = "soxr_hq"
    level: Level | None = None
    max_s: Duration | None = None
    beyond_max: Literal["truncate", "windows"] = "truncate"
    bandwidth_hz: Positive | None = None

    def max_samples(self) -> int | None:
        """``max_s`` in samples."""
        return None if self.max_s is None else round(self.max_s * self.sample_rate)


class MeanMfccSettings(FrontEndBase, frozen=True, tag="mean_mfcc", kw_only=True):
    """Mean MFCC vector, in the terms of librosa 0.11."""

    sample_rate: SampleRate = 22_050
    n_fft: FftLength = 2048
    hop_length: SampleCount = 512
    window: Literal["hann"] = "hann"
    center: bool = True
    pad_mode: Literal["constant"] = "constant"
    power: Literal[2] = 2
    n_mels: BandCount = 128
    fmin: NotNegative = 0.0
    fmax: Positive = 11_025.0
    mel_scale: Literal["slaney"] = "slaney"
    mel_norm: Literal["slaney"] = "slaney"
    amin: Positive = 1e-10
    top_db: Positive = 80.0
    dct: Literal["ortho"] = "ortho"
    n_mfcc: BandCount = 128
    pooling: Literal["mean"] = "mean"

    def __post_init__(self) -> None:
        _check_band(self.fmin, self.fmax, self.sample_rate)
        if not self.center:
            raise ValueError("center must be true: frames that are not centred are not supported")
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc {self.n_mfcc} exceeds n_mels {self.n_mels}")


class LogMelSettings(FrontEndBase, frozen=True, tag="log_mel", kw_only=True):
    """Log-mel spectrogram, in the terms of ``WhisperFeatureExtractor``.

    With ``pad_s`` shorter sound is padded with silence to that length.
    """

    n_fft: FftLength = 400
    hop_length: SampleCount = 160
    n_mels: BandCount = 80
    fmin: NotNegative = 0.0
    fmax: Positive = 8000.0
    pad_s: Annotated[float, msgspec.Meta(ge=1.0, le=60.0)] | None = None

    def __post_init__(self) -> None:
        _check_band(self.fmin, self.fmax, self.sample_rate)
        if self.n_fft % 2:
            raise ValueError(f"n_fft {self.n_fft} is odd: frames could not be centred")
        if not self.hop_length < self.n_fft // 2:
            raise ValueError(f"hop_length {self.hop_length} is not below half of n_fft")
        if self.pad_s is not None and (self.max_s is None or self.max_s > self.pad_s):
            raise ValueError(f"pad_s {self.pad_s:g} needs a max_s of at most as many seconds")


class KaldiFbankSettings(FrontEndBase, frozen=True, tag="kaldi_fbank", kw_only=True):
    """Kaldi filter bank, in the terms of ``SeamlessM4TFeatureExtractor`` (Wav2Vec2-BERT).

    ``normalize`` is ``utterance`` (mean 0 and variance 1 of each band over the utterance),
    ``fixed`` (``(x - mean) / std``) or ``none``. ``stack`` successive frames make one row; frames
    that are left over are dropped, as by the extractor's attention mask, or padded with
    ``padding_value``. ``pad_frames`` pads shorter sound with log energies of 0 before the fixed
    normalization.

    ``ASTFeatureExtractor`` is ``window="hann", scale=1, n_mels=128, normalize="fixed",
    mean=-4.2677393, std=2 * 4.5689974, stack=1, pad_frames=1024, max_s=10.24``.
    """

    frame_length: FftLength = 400
    hop_length: SampleCount = 160
    fft_length: FftLength = 512
    window: Literal["povey", "hann"] = "povey"
    remove_dc: bool = True
    preemphasis: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 0.97
    scale: Positive = 32_768.0
    n_mels: BandCount = 80
    fmin: NotNegative = 20.0
    fmax: Positive = 8000.0
    floor: Positive = 1.192092955078125e-07
    normalize: Literal["utterance", "fixed", "none"] = "utterance"
    mean: float = 0.0
    std: Positive = 1.0
    stack: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2
    left_over: Literal["drop", "pad"] = "drop"
    padding_value: float = 0.0
    pad_frames: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)] | None = None

    def __post_init__(self) -> None:
        _check_band(self.fmin, self.fmax, self.sample_rate)
        if self.frame_length > self.fft_length:
            raise ValueError(
                f"frame_length {self.frame_length} exceeds fft_length {self.fft_length}"
            )
        if self.normalize != "fixed" and (self.mean, self.std) != (0.0, 1.0):
            raise ValueError("mean and std are used by normalize 'fixed' only")
        if self.pad_frames is not None:
            self._check_padding(self.pad_frames)

    def max_frames(self) -> int | None:
        """``max_s`` in frames, a multiple of ``stack``."""
        if self.max_s is None:
            return None
        frames = round(self.max_s * self.sample_rate / self.hop_length)
        return max(1, frames // self.stack) * self.stack

    def _check_padding(self, pad_frames: int) -> None:
        if self.normalize == "utterance":
            raise ValueError("pad_frames can't be combined with normalize 'utterance'")
        if pad_frames % self.stack:
            raise ValueError(f"pad_frames {pad_frames} is not a multiple of stack {self.stack}")
        limit = self.max_frames()
        if limit is None or limit > pad_frames:
            raise ValueError(f"pad_frames {pad_frames} needs a max_s of at most as many frames")


class WaveformSettings(FrontEndBase, frozen=True, tag="waveform", kw_only=True):
    """Samples, in the terms of ``Wav2Vec2FeatureExtractor``.

    ``normalize`` is its ``do_normalize``: mean 0 and variance 1 over the utterance.
    """

    normalize: bool = True


FrontEndSettings: TypeAlias = (
    MeanMfccSettings | LogMelSettings | KaldiFbankSettings | WaveformSettings
)


def _check_band(fmin: float, fmax: float, sample_rate: int) -> None:
    if not fmin < fmax <= sample_rate / 2:
        raise ValueError(f"{fmin:g} to {fmax:g} Hz is not a range below half the sample rate")
