"""Parse multipart/form-data (RFC 7578) bodies that are completely in memory.

The body is cut at its delimiters with ``bytes.find``, so the time is linear in its size whatever
it contains. Field values are UTF-8; the charset of the header and of the parts is not used.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from emo_runtime import Utterance
from emo_serving.api.schemas import Requested, check_task
from emo_serving.errors import RequestError

FIELDS = ("text", "audio", "task", "bundle")
MAX_TRANSCRIPTS = 8
# Heads are parsed by a regular expression whose time is quadratic in their length.
_MAX_HEAD = 2048
_MAX_BOUNDARY = 70
# name=value or name="value" with backslash escapes; for the values of a header.
_PARAMETER = re.compile(r';[ \t]*([\w*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))')
_TRUNCATED = "the form ends before its closing boundary: send the whole body."


@dataclass(frozen=True)
class FormFile:
    """A file of a form."""

    name: str
    content: bytes


def parse_form(content_type: str, body: bytes) -> Requested:
    """Return the utterance of a form: fields ``text``, ``task``, ``bundle``, a file ``audio``.

    Raises:
        RequestError: The form is malformed or truncated, or has other fields.
    """
    fields: dict[str, str | bytes] = {}
    for name, file_name, value in _parts(body, _boundary(content_type)):
        is_file = file_name is not None
        if name not in FIELDS or name in fields:
            raise RequestError(f"the form has the fields {', '.join(FIELDS)}, each at most once.")
        if is_file != (name == "audio"):
            raise RequestError("'audio' must be a file of the form, the others plain fields.")
        fields[name] = value if is_file else _text(name, value)
    text, audio, task, bundle = (fields.get(name) for name in FIELDS)
    utterance = Utterance(
        None if text is None else str(text),
        audio if isinstance(audio, bytes) else None,
        check_task(None if task is None else str(task)),
    )
    return Requested(utterance, None if bundle is None else str(bundle))


@dataclass(frozen=True)
class Recording:
    """The sound and the transcripts of a form, and the name of the bundle that is to answer."""

    audio: bytes
    transcripts: list[FormFile]
    bundle: str | None = None


def parse_recording(content_type: str, body: bytes) -> Recording:
    """Return a form's recording: a file ``audio``, files ``transcript``, a field ``bundle``.

    Raises:
        RequestError: The form is malformed or truncated, or has other fields.
    """
    sounds: list[bytes] = []
    transcripts: list[FormFile] = []
    bundle: str | None = None
    for name, file_name, value in _parts(body, _boundary(content_type)):
        if file_name is None and name == "bundle" and bundle is None:
            bundle = _text(name, value)
            continue
        if file_name is None or name not in {"audio", "transcript"}:
            raise RequestError(
                "the form has a file 'audio', files 'transcript', and one field 'bundle' only."
            )
        if name == "audio":
            sounds.append(value)
        else:
            transcripts.append(FormFile(file_name, value))
    if len(sounds) != 1 or not 1 <= len(transcripts) <= MAX_TRANSCRIPTS:
        raise RequestError(f"send one file 'audio' and 1 to {MAX_TRANSCRIPTS} files 'transcript'.")
    return Recording(sounds[0], transcripts, bundle)


def _boundary(content_type: str) -> bytes:
    parameters = _parameters(content_type[:_MAX_HEAD])
    charset = parameters.get("charset", "utf-8").lower()
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise RequestError("the form's charset must be UTF-8.")
    boundary = parameters.get("boundary", "")
    if not 0 < len(boundary) <= _MAX_BOUNDARY or not boundary.isascii():
        raise RequestError("Content-Type: multipart/form-data needs a boundary of 1 to 70 letters.")
    return boundary.encode()


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[str, str | None, bytes]]:
    """Yield name, file name (None: a plain field) and content of each part."""
    delimiter = b"\r\n--" + boundary
    if body.startswith(delimiter[2:]):
        at = len(delimiter) - 2
    else:
        start = body.find(delimiter)
        if start < 0:
            raise RequestError("the form has no boundary as its Content-Type names it.")
        at = start + len(delimiter)
    while not body.startswith(b"--", at):
        line = body.find(b"\r\n", at, at + 128)
        if line < 0 or body[at:line].strip(b" \t"):
            raise RequestError(_TRUNCATED)
        # The head may be empty: then its end is the end of the delimiter's line.
        head_end = body.find(b"\r\n\r\n", line, line + _MAX_HEAD)
        end = body.find(delimiter, line)
        if end < 0:
            raise RequestError(_TRUNCATED)
        if not 0 <= head_end < end:
            raise RequestError("a part of the form has no head, or one beyond 2 KiB.")
        name, file_name = _disposition(body[line + 2 : head_end])
        yield name, file_name, body[head_end + 4 : end]
        at = end + len(delimiter)


def _disposition(head: bytes) -> tuple[str, str | None]:
    try:
        lines = head.decode().split("\r\n")
    except UnicodeDecodeError:
        raise RequestError("the head of a part of the form is not UTF-8.") from None
    for line in lines:
        header, _, value = line.partition(":")
        if header.strip().lower() == "content-disposition":
            parameters = _parameters(value)
            file_name = parameters.get("filename", parameters.get("filename*"))
            return parameters.get("name", ""), file_name
    return "", None


def _parameters(value: str) -> dict[str, str]:
    return {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
        for name, quoted, plain in _PARAMETER.findall(value)
    }


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise RequestError(f"field {name!r} is not UTF-8.") from None
