"""Encodings of packets: byte orders, aliases, cut frames, channels."""

import math
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emo_runtime import AudioError
from emo_runtime.audio.encodings import ALIASES, PacketDecoder, resolve_encoding
from emo_runtime.audio.g711 import ALAW, MULAW
from helpers.sounds import speechlike

ENCODINGS = ["pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_f32le", "mulaw", "alaw"]


@pytest.mark.parametrize(("encoding", "table"), [("mulaw", MULAW), ("alaw", ALAW)])
def test_g711_is_decoded_by_its_table(encoding, table):
    samples, rest = PacketDecoder(encoding, 1)(bytes(range(256)))
    assert rest == b""
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, table)


def test_linear_encodings_have_the_same_full_scale():
    values = np.array([-(2**23), -1, 0, 1, 2**23 - 1], np.int32)
    expected = values / 2**23
    packed = values.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    samples, rest = PacketDecoder("pcm_s24le", 1)(packed + b"\1\2")
    np.testing.assert_array_equal(samples, expected.astype(np.float32))
    assert rest == b"\1\2"
    short = np.array([-32768, -1, 0, 1, 32767], np.int16)
    for encoding, order in (("pcm_s16le", "<i2"), ("pcm_s16be", ">i2")):
        samples, _ = PacketDecoder(encoding, 1)(short.astype(order).tobytes())
        np.testing.assert_array_equal(samples, (short / 32768).astype(np.float32))


@pytest.mark.parametrize(
    "name", ["PCMU", "ulaw", "audio/x-mulaw", "g711_ulaw", "audio/PCMU;rate=8000"]
)
def test_names_of_mulaw(name):
    assert resolve_encoding(name) == "mulaw"


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("L16", "pcm_s16be"),
        ("audio/L16; rate=16000", "pcm_s16be"),
        ("LINEAR16", "pcm_s16le"),
        ("PCMA", "alaw"),
        ("s16le", "pcm_s16le"),
        ("float32", "pcm_f32le"),
        ("pcm_s24le", "pcm_s24le"),
    ],
)
def test_other_names(name, encoding):
    assert resolve_encoding(name) == encoding
    assert PacketDecoder(name, 1).encoding == encoding


def test_every_alias_is_written_in_lower_case_and_known():
    assert all(name == name.lower() for name in ALIASES)
    assert set(ALIASES.values()) <= set(ENCODINGS)


@example(struct.pack("<2f", math.inf, -math.inf), "pcm_f32le", 2, 0)
@example(struct.pack("<2f", 3e38, 3e38), "pcm_f32le", 2, 0)
@example(b"\x00\x00\x00\x00\x00\x00\x81\x7f", "pcm_f32le", 2, 0)  # a signalling NaN
@given(
    data=st.binary(max_size=200),
    encoding=st.sampled_from(ENCODINGS),
    channels=st.integers(1, 3),
    cut=st.integers(0, 200),
)
def test_a_packet_may_be_cut_anywhere(data, encoding, channels, cut):
    """A channel is selected: the mean would depend on earlier packets if channels cancel."""
    whole, rest = PacketDecoder(encoding, channels, channel=channels - 1)(data)
    decode = PacketDecoder(encoding, channels, channel=channels - 1)
    first, carried = decode(data[:cut])
    second, last = decode(carried + data[cut:])
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    assert last == rest


def test_channels_are_averaged_or_selected():
    pair = np.stack([speechlike(0.2, 8_000), 0.2 * speechlike(0.2, 8_000, seed=1)], axis=1)
    data = pair.astype("<f4").tobytes()
    np.testing.assert_allclose(PacketDecoder("pcm_f32le", 2)(data)[0], pair.mean(axis=1), atol=1e-7)
    for channel in (0, 1):
        found, _ = PacketDecoder("pcm_f32le", 2, channel)(data)
        np.testing.assert_array_equal(found, pair[:, channel])
    with pytest.raises(AudioError, match="channel=2"):
        PacketDecoder("pcm_f32le", 2, 2)


def test_channels_of_opposite_phase_do_not_cancel():
    voice = speechlike(1, 8_000)
    decoder = PacketDecoder("pcm_f32le", 2)
    packets = np.stack([voice, -0.9 * voice], axis=1).astype("<f4").reshape(50, -1)
    selected = np.concatenate([decoder(packet.tobytes())[0] for packet in packets])
    np.testing.assert_array_equal(selected, voice)
    assert [note.code for note in decoder.notes] == ["channels_cancel"]


@pytest.mark.parametrize("name", ["opus", "", "mp3", None, 16])
def test_unknown_encodings_are_refused(name):
    with pytest.raises(AudioError, match="is not known"):
        PacketDecoder(name, 1)
