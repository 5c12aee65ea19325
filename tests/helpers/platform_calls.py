"""Packets, and what a dialect makes of a call's messages."""

import base64
import json

import numpy as np

from emo_serving.live.messages import Media, Reply, Start, Stop
from helpers.corpora import ROOT
from helpers.sounds import speechlike

# SoX's tables from codes to samples.
MULAW = np.fromfile(ROOT / "tests" / "data" / "mulaw.s16le", "<i2")
ALAW = np.fromfile(ROOT / "tests" / "data" / "alaw.s16le", "<i2")


def codes(table, seconds, rate=8000, seed=0):
    """Return speech-like sound as codes of the table: for each sample the nearest value."""
    wanted = speechlike(seconds, rate, seed) * 32768
    order = np.argsort(table, kind="stable")
    at = np.clip(np.searchsorted(table[order], wanted), 0, 255)
    return order[at].astype(np.uint8).tobytes()


def pcm(seconds, rate=8000):
    """Return speech-like sound as 16-bit little-endian PCM."""
    return np.clip(speechlike(seconds, rate) * 32768, -32768, 32767).astype("<i2").tobytes()


def packets(sound, size):
    """Cut sound into packets."""
    return [sound[at : at + size] for at in range(0, len(sound), size)]


def b64(packet):
    """Encode a packet in base64."""
    return base64.b64encode(packet).decode()


def parse_all(dialect, given):
    """Return all messages that the platform's messages mean."""
    parsed = []
    for message in given:
        data = message if isinstance(message, str | bytes) else json.dumps(message)
        parsed += dialect.parse(data)
    return parsed


def sound_of(parsed, track=None):
    """Return the sound of the media messages, of one track."""
    return b"".join(
        message.payload
        for message in parsed
        if isinstance(message, Media) and track in {None, message.track}
    )


def start_of(parsed):
    """Return the only start message."""
    [start] = [message for message in parsed if isinstance(message, Start)]
    return start


def stops(parsed):
    """Return the number of stop messages."""
    return sum(isinstance(message, Stop) for message in parsed)


def replies(parsed):
    """Return what is sent back to the platform."""
    return [message.content for message in parsed if isinstance(message, Reply)]
