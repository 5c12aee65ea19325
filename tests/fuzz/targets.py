"""What is fuzzed: each target takes any bytes; only the error that it documents may leave it."""

import contextlib
import io
from collections.abc import Callable
from typing import get_args

from emo_runtime.audio.encodings import Encoding, PacketDecoder
from emo_runtime.audio.formats import inspect
from emo_runtime.bundle.manifest import encode_manifest
from emo_runtime.bundle.manifest_reader import parse_manifest
from emo_runtime.bundle.onnx_check import check_graph
from emo_runtime.errors import AudioError, BundleError, TextError
from emo_runtime.text.tokenizer_check import check_tokenizer
from emo_runtime.text.transcripts import parse_transcript
from fuzz import calls

_SUFFIXES = (".vtt", ".srt", ".json")


def manifest(data: bytes) -> None:
    """What is read is written and read again as the same."""
    with contextlib.suppress(BundleError):
        read = parse_manifest(data)
        assert parse_manifest(encode_manifest(read)) == read


def sound(data: bytes) -> None:
    """The look at a sound file before libsndfile sees it (the decoder itself is foreign C)."""
    with contextlib.suppress(AudioError):
        found = inspect(io.BytesIO(data), "sound")
        assert found.parts


def packets(data: bytes) -> None:
    """The packets of a stream; the first byte chooses the encoding and the number of channels."""
    if not data:
        return
    encodings = get_args(Encoding)
    decoder = PacketDecoder(encodings[data[0] % len(encodings)], 1 + data[0] // 128)
    rest = b""
    with contextlib.suppress(AudioError):
        for start in range(1, len(data), 160):
            samples, rest = decoder(rest + data[start : start + 160])
            assert samples.ndim == 1


def transcript(data: bytes) -> None:
    """The first byte chooses the format."""
    if not data:
        return
    suffix = _SUFFIXES[data[0] % len(_SUFFIXES)]
    with contextlib.suppress(TextError):
        for cue in parse_transcript(data[1:].decode("utf-8", "replace"), suffix, "any"):
            assert 0 <= cue.start_s <= cue.end_s


def graph(data: bytes) -> None:
    """The walk over an ONNX file."""
    with contextlib.suppress(BundleError):
        check_graph(memoryview(data), "any.onnx")


def tokenizer(data: bytes) -> None:
    """The look into a tokenizer.json."""
    with contextlib.suppress(BundleError):
        check_tokenizer(data, "tokenizer.json")


def call(data: bytes) -> None:
    """The messages of a live call, from the first to the hang-up."""
    calls.answer(data)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (manifest, sound, packets, transcript, graph, tokenizer, call)
}
