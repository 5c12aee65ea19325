"""Valid inputs that fuzzing starts from, and that the targets must take."""

import base64
import json
import re
import tempfile
from pathlib import Path

from helpers.sounds import as_file, speechlike
from helpers.tiny import Tiny, write_bundle


def seeds() -> dict[str, list[bytes]]:
    """Return the seeds by the name of the target."""
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
            *(2 * as_file(samples, 8_000, kind) for kind in ("FLAC", "OGG", "MP3")),
            as_file(samples, 8_000, "OGG", "OPUS"),
        ],
        "packets": [
            bytes([code]) + (samples * 32767).astype("<i2").tobytes() for code in (0, 1, 4, 128)
        ],
        "transcript": [
            "\0WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n<v Ana>¡Hola!\n".encode(),
            b"\x011\n00:00:00,000 --> 00:00:01,500\nHola\n",
            b'\x02{"segments": [{"start": 0, "end": 1.5, "text": "hola", "speaker": "A"}]}',
            b'\x02{"transcription": [{"offsets": {"from": 0, "to": 9}, "text": "hola"}]}',
            b'\x02{"chunks": [{"timestamp": [0.0, 1.5], "text": " hola"}]}',
            b'\x02{"results": {"items": [{"start_time": "0.0", "end_time": "0.5", "type": '
            b'"pronunciation", "alternatives": [{"content": "hola"}], "speaker_label": "spk_0"}]}}',
            b'\x02{"results": {"channels": [{"alternatives": [{"words": [{"word": "hola", '
            b'"start": 0.0, "end": 0.5}]}]}]}}',
            b'\x02{"recognizedPhrases": [{"offset": "PT0S", "duration": "PT1.5S", "nBest": '
            b'[{"display": "Hola."}]}]}',
            b'\x02{"result": [{"word": "hola", "start": 0.1, "end": 0.4}], "text": "hola"}\n'
            b'{"result": [{"word": "no", "start": 4, "end": 4.5}], "text": "no"}',
            b'\x02{"monologues": [{"speaker": 0, "elements": [{"type": "text", "value": "hola", '
            b'"ts": 0.1, "end_ts": 0.4}, {"type": "punct", "value": "."}]}]}',
            b'\x02{"results": [{"alternatives": [{"timestamps": [["hola", 0.1, 0.4]]}]}], '
            b'"speaker_labels": [{"from": 0.1, "to": 0.4, "speaker": 0}]}',
            b'\x02{"tokens": [{"text": "ho", "start_ms": 100, "end_ms": 200, "speaker": "1"}]}',
            b'\x02[[1, 0, 0.0, 1.5, "hola", [1], -0.1]]',
            b'\x03{"start": 0, "end": 1.5, "text": "hola"}\n{"start": 2, "end": 3, "text": "no"}',
            b"\x04start\tend\ttext\n0\t1500\thola\n",
        ],
        "table": [
            "\0text,audio,label\n¡Hola!,a.wav,joy\n".encode(),
            '\x01sep=;\r\ntexto;id\r\n"¡Qué; día!";1\r\n'.encode("cp1252"),
            "\x01text\taudio\nhola\ta.wav\n".encode("utf-16"),
            b'\x02{"id": 1, "text": "hola", "audio": "a.wav"}\n',
        ],
        "form": [
            b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nhola\r\n'
            b'--b\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n'
            b"Content-Type: audio/wav\r\n\r\nRIFF\r\n--b--\r\n",
        ],
        "graph": [files["text.fp32.onnx"], files["fusion.fp32.onnx"]],
        "tokenizer": [files["tokenizer.json"]],
        "call": [_telephone_call(), _browser_call()],
        "frames": [
            b"\x04" + bytes.fromhex("818537fa213d7f9f4d5158" + "8a8537fa213d7f9f4d5158"),
            b"\x09" + bytes.fromhex("010200000000c3b1" + "890000000000" + "8001000000006f"),
            b"\x80" + bytes.fromhex("82fe0080" + "01020304") + bytes(128),
            b"\x02" + bytes.fromhex("888200000000" + "03e8"),
        ],
    }


def words(inputs: list[bytes]) -> list[bytes]:
    """Return the names and numbers in the seeds: libFuzzer would rarely find them by chance."""
    found = {word for data in inputs for word in re.findall(rb'"[\w/.-]{2,40}"|[\w.]{2,40}', data)}
    return sorted(found)


def _telephone_call() -> bytes:
    """Return mu-law in base64, as a telephone platform sends it."""
    packet = base64.b64encode(bytes(range(160))).decode()
    return _lines(
        {"event": "connected", "protocol": "Call", "version": "1.0.0"},
        {
            "event": "start",
            "streamSid": "MZ1",
            "start": {
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {"interval_ms": "100", "task": "fusion", "window_s": "1.5"},
            },
        },
        {"event": "transcript", "transcript": {"text": "no puedo más"}},
        {"event": "media", "media": {"track": "inbound", "payload": packet}},
        {"event": "dtmf"},
        {"event": "mark", "mark": {"name": "a"}},
        {"event": "stop"},
    )


def _browser_call() -> bytes:
    """Return binary samples, and another utterance in the same connection."""
    form = {"encoding": "pcm_f32le", "sampleRate": 16000, "channels": 2}
    begin = {"event": "start", "start": {"mediaFormat": form, "customParameters": {"text": "hola"}}}
    samples = b"\0" + speechlike(0.02, 16_000).tobytes().replace(b"\n", b"\0")
    return b"\n".join([_lines(begin), samples, _lines({"event": "stop"}, begin)])


def _lines(*messages: object) -> bytes:
    return b"\n".join(json.dumps(message).encode() for message in messages)
