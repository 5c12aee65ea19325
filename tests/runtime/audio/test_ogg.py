"""Ogg: pages with right checksums are kept, whatever is between them."""

import struct

import numpy as np
import pytest

from emo_runtime import AudioError
from emo_runtime.audio.decode import decode
from emo_runtime.audio.ogg import page_crc
from helpers.sounds import as_file, speechlike

RATE = 16_000
VOICE = speechlike(4, RATE)


def pages(data):
    """The pages of an intact file."""
    found, at = [], 0
    while at < len(data):
        count = data[at + 26]
        size = 27 + count + sum(data[at + 27 : at + 27 + count])
        found.append(data[at : at + size])
        at += size
    return found


def with_fields(page, flags=None, serial=None):
    page = bytearray(page)
    page[5] = page[5] if flags is None else flags
    page[14:18] = page[14:18] if serial is None else struct.pack("<I", serial)
    page[22:26] = bytes(4)
    page[22:26] = struct.pack("<I", page_crc(bytes(page)))
    return bytes(page)


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_the_checksum_is_that_of_libogg(subtype):
    for page in pages(as_file(VOICE, RATE, "OGG", subtype)):
        assert page_crc(page[:22] + bytes(4) + page[26:]) == struct.unpack("<I", page[22:26])[0]


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_the_last_page_needs_no_mark(subtype):
    *first, last = pages(as_file(VOICE, RATE, "OGG", subtype))
    whole = decode(b"".join([*first, last]))
    unmarked = decode(b"".join([*first, with_fields(last, flags=last[5] & ~4)]))
    np.testing.assert_array_equal(unmarked.samples, whole.samples)
    assert unmarked.notes == ()


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_pages_of_another_stream_are_left_out(subtype):
    """A second stream of an unknown codec, multiplexed with the sound."""
    found = pages(as_file(VOICE, RATE, "OGG", subtype))
    body = struct.pack("<4sBBqIIIB", b"OggS", 0, 2, 0, 7, 0, 0, 1) + b"\x08fishead\0"
    other = with_fields(body)
    later = with_fields(with_fields(body), flags=0)
    mixed = [other, found[0], later, *[piece for page in found[1:] for piece in (page, later)]]
    sound = decode(b"".join(mixed))
    np.testing.assert_array_equal(sound.samples, decode(b"".join(found)).samples)
    assert sound.notes == ()


def test_a_missing_page_is_damage():
    found = pages(as_file(np.tile(VOICE, 3), RATE, "OGG", "OPUS"))
    sound = decode(b"".join(found[:5] + found[6:]))
    assert [note.code for note in sound.notes] == ["damaged"]
    assert sound.duration_s == pytest.approx(11, abs=0.1)


def test_a_stream_without_sound_is_refused():
    body = struct.pack("<4sBBqIIIB", b"OggS", 0, 2, 0, 7, 0, 0, 1) + b"\x08\x80theora."
    for data in (with_fields(body), b"OggS" + bytes(200)):
        with pytest.raises(AudioError, match="not a supported sound file"):
            decode(data)
