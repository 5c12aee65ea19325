"""Valid inputs that fuzzing starts from, and that the targets must take."""

import tempfile
from pathlib import Path

from helpers.sounds import as_file, speechlike
from helpers.tiny import Tiny, write_bundle


def seeds() -> dict[str, list[bytes]]:
    """By the name of the target."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(Path(folder, "bundle"), Tiny(n_mfcc=13, hidden=4))
        files = {path.name: path.read_bytes() for path in bundle.iterdir()}
    samples = speechlike(0.02, 8_000)
    kinds = ("WAV", "RF64", "FLAC", "OGG", "MP3", "AIFF", "AU")
    return {
        "manifest": [files["manifest.json"]],
        "sound": [
            *(as_file(samples, 8_000, kind) for kind in kinds),
            b"ID3\x03\0\0\0\0\0\x02ab" + as_file(samples, 8_000, "MP3"),
        ],
        "transcript": [
            "\0WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n<v Ana>¡Hola!\n".encode(),
            b"\x011\n00:00:00,000 --> 00:00:01,500\nHola\n",
            b'\x02{"segments": [{"start": 0, "end": 1.5, "text": "hola", "speaker": "A"}]}',
            b'\x02{"transcription": [{"offsets": {"from": 0, "to": 9}, "text": "hola"}]}',
        ],
        "graph": [files["text.fp32.onnx"], files["fusion.fp32.onnx"]],
        "tokenizer": [files["tokenizer.json"]],
    }
