"""Sample encodings of live sound: packets of bytes to float32 samples.

G.711 (ITU-T recommendation, 1988) by table: each of the 256 codes has one 16-bit value.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.arrays import as_floats, to_mono
from emo_runtime.errors import AudioError

Floats = NDArray[np.float32]
Encoding = Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]


def _mulaw_table() -> Floats:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return _full_scale(np.where(code & 0x80, -magnitude, magnitude))


def _alaw_table() -> Floats:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code & 0x70) >> 4
    mantissa = (code & 0x0F) << 4
    magnitude = np.where(
        segment == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(segment - 1, 0)
    )
    return _full_scale(np.where(code & 0x80, magnitude, -magnitude))


def _full_scale(values: NDArray[np.int32]) -> Floats:
    return values.astype(np.float32) / np.float32(32768)


_TABLES = {"mulaw": _mulaw_table(), "alaw": _alaw_table()}
_TYPES: dict[Encoding, np.dtype[Any]] = {
    "pcm_s16le": np.dtype("<i2"),
    "pcm_f32le": np.dtype("<f4"),
    "mulaw": np.dtype(np.uint8),
    "alaw": np.dtype(np.uint8),
}


class PacketDecoder:
    """Bytes of interleaved samples to mono float32 samples."""

    def __init__(self, encoding: Encoding, channels: int) -> None:
        if encoding not in _TYPES:
            raise AudioError(
                f"encoding {encoding!r} is not known. Give one of: {', '.join(_TYPES)}."
            )
        self._table = _TABLES.get(encoding)
        self._type = _TYPES[encoding]
        self._channels = channels

    def __call__(self, data: bytes) -> tuple[Floats, bytes]:
        """Mono samples [time] of all whole frames, and the bytes of a frame that was cut."""
        whole = len(data) - len(data) % (self._type.itemsize * self._channels)
        codes = np.frombuffer(data, self._type, whole // self._type.itemsize)
        samples: Floats = as_floats(codes) if self._table is None else self._table[codes]
        if self._channels > 1:
            samples = to_mono(samples.reshape(-1, self._channels))
        return samples, data[whole:]
