"""G.711 against SoX's tables, and packets that cut frames."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emo_runtime import AudioError
from emo_runtime.audio.encodings import PacketDecoder

VECTORS = Path(__file__).resolve().parents[2] / "data"
CODES = bytes(range(256))


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_every_code_is_what_sox_says(encoding):
    samples, rest = PacketDecoder(encoding, 1)(CODES)
    golden = np.fromfile(VECTORS / f"{encoding}.s16le", "<i2")
    assert rest == b""
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples * 32768, golden)


@example(struct.pack("<2f", math.inf, -math.inf), "pcm_f32le", 2, 0)
@example(struct.pack("<2f", 3e38, 3e38), "pcm_f32le", 2, 0)
@example(b"\x00\x00\x00\x00\x00\x00\x81\x7f", "pcm_f32le", 2, 0)  # a signalling NaN
@given(
    data=st.binary(max_size=200),
    encoding=st.sampled_from(["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]),
    channels=st.integers(1, 3),
    cut=st.integers(0, 200),
)
def test_a_packet_may_be_cut_anywhere(data, encoding, channels, cut):
    decode = PacketDecoder(encoding, channels)
    whole, rest = decode(data)
    first, carried = decode(data[:cut])
    second, last = decode(carried + data[cut:])
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    assert last == rest


def test_unknown_encodings_are_refused():
    with pytest.raises(AudioError, match="opus"):
        PacketDecoder("opus", 1)
