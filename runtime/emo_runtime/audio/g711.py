"""The decoding tables of G.711 (ITU-T recommendation, 1988): mu-law and A-law.

Each of the 256 codes has one 16-bit value, here as float32 at full scale 1.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


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


MULAW: Final = _mulaw_table()
ALAW: Final = _alaw_table()
