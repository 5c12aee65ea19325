"""Fuzz targets: each accepts any bytes and raises nothing but its documented error."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from emo_runtime.audio.encodings import Encoding, PacketDecoder
from emo_runtime.audio.formats import inspect
from emo_runtime.bundle.manifest import encode_manifest
from emo_runtime.bundle.manifest_reader import parse_manifest
from emo_runtime.bundle.onnx_check import check_graph
from emo_runtime.errors import AudioError, BundleError, TextError
from emo_runtime.rows import RowError, RowFormat, read_rows
from emo_runtime.tables import TableError, decoded
from emo_runtime.text.tokenizer_check import check_tokenizer
from emo_runtime.text.transcripts import parse_transcript
from emo_serving.api.multipart import parse_form
from emo_serving.errors import RequestError
from emo_serving.websocket.frames import CLOSE, Frame, FrameError, FrameParser, parse_close
from fuzz import calls

_SUFFIXES = (".vtt", ".srt", ".json", ".jsonl", ".tsv", "")


def manifest(data: bytes) -> None:
    """Read a manifest; if it is valid, write it and read it back unchanged."""
    with contextlib.suppress(BundleError):
        read = parse_manifest(data)
        assert parse_manifest(encode_manifest(read)) == read


def sound(data: bytes) -> None:
    """Check a sound file as before libsndfile decodes it (the decoder itself is third-party C)."""
    with contextlib.suppress(AudioError):
        found = inspect(io.BytesIO(data), "sound")
        assert found.parts


def packets(data: bytes) -> None:
    """Feed packets to a stream; the first byte selects encoding and number of channels."""
    if not data:
        return
    encodings = get_args(Encoding)
    decoder = PacketDecoder(encodings[data[0] % len(encodings)], 1 + data[0] // 128)
    rest = b""
    with contextlib.suppress(AudioError):
        for start in range(1, len(data), 160):
            samples, rest = decoder(rest + data[start : start + 160])
            assert samples.ndim == 1


def frames(data: bytes) -> None:
    """Parse WebSocket frames, whole and cut at the first byte: both give the same."""
    if data:
        cut = 1 + data[0]
        assert _frames(data[1:]) == _frames(data[1:cut], data[cut:])


def _frames(*parts: bytes) -> tuple[list[Frame], int]:
    parser, found = FrameParser(4096), list[Frame]()
    try:
        for part in parts:
            parser.feed(part)
            while (frame := parser.next_frame()) is not None:
                found.append(frame)
                if frame[0] == CLOSE:
                    parse_close(bytes(frame[1]))  # type: ignore[arg-type]
    except FrameError as error:
        return found, error.code
    return found, 0


def transcript(data: bytes) -> None:
    """Parse a transcript; the first byte selects the format."""
    if not data:
        return
    suffix = _SUFFIXES[data[0] % len(_SUFFIXES)]
    with contextlib.suppress(TextError):
        for cue in parse_transcript(data[1:].decode("utf-8", "replace"), suffix, "any"):
            assert 0 <= cue.start_s <= cue.end_s


def table(data: bytes) -> None:
    """Read the rows of a table of any encoding; the first byte selects CSV or JSON Lines."""
    if not data:
        return
    layout = RowFormat((None, "csv", "jsonl")[data[0] % 3])
    with (
        contextlib.suppress(RowError, TableError),
        decoded(io.BytesIO(data[1:])) as stream,
    ):
        for number, row in enumerate(read_rows(stream, layout, Path(), None), start=1):
            assert row.number == number


def form(data: bytes) -> None:
    """Parse the body of a multipart form."""
    with contextlib.suppress(RequestError):
        parse_form("multipart/form-data; boundary=b", data)


def graph(data: bytes) -> None:
    """Check an ONNX file."""
    with contextlib.suppress(BundleError):
        check_graph(memoryview(data), "any.onnx")


def tokenizer(data: bytes) -> None:
    """Check a tokenizer.json."""
    with contextlib.suppress(BundleError):
        check_tokenizer(data, "tokenizer.json")


def call(data: bytes) -> None:
    """Send the messages of a live call, from the first to the disconnect."""
    calls.answer(data)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        manifest,
        sound,
        packets,
        transcript,
        table,
        form,
        graph,
        tokenizer,
        call,
        frames,
    )
}
