"""WebVTT and SubRip subtitles, read leniently: every line with an arrow becomes a cue."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from emo_runtime.text.cues import RawCue

_TIME = r"[-+]?\d+(?:\s?:\s?\d+){0,3}(?:\s?[.,]\s?\d+)?(?:\s?s\b)?"
_EXACT = r"\d+:\d+(?::\d+)?[.,]\d+"
_TIMING = re.compile(
    rf"\s*({_TIME})\s*(?:-{{1,3}}\s?(?:>|&gt;)|[\u2013\u2014]>|\u2192)\s*({_TIME})(?:\s.*)?$"
)
# The console output of Whisper and whisper.cpp: times in brackets, then the text.
_BRACKETED = re.compile(rf"\s*\[({_TIME})\s*-{{1,3}}>\s*({_TIME})\]\s*(.*)$")
# Two complete times and another separator (a comma in SubViewer files), alone on a line.
_LOOSE = re.compile(rf"\s*({_EXACT})\s*(?:[^\w\s.,:]{{1,4}}|,)\s*({_EXACT})\s*$")
_ARROW = re.compile(r"-->")
_LETTER = re.compile(r"[^\W\d_]")
_DIGITS = re.compile(r"\d+$")
_BLOCKS = ("NOTE", "STYLE", "REGION")


@dataclass
class _Open:
    """The cue whose lines are being collected."""

    times: tuple[float | None, float | None]
    problem: str | None
    lines: list[str]


def parse_subtitles(content: str) -> list[RawCue]:
    """Read the cues of a WebVTT or SubRip file; the text keeps its line breaks and its markup.

    The two formats differ in the header and in comment blocks, which are detected.
    Deviations that players accept are accepted: no header, no numbers, no blank lines between
    cues, blank lines inside the text, ``,`` or ``.`` before the fraction, any number of digits in
    any place, times without hours, any line ending.
    """
    lines = re.split(r"\r\n|\r|\n", content.removeprefix("\ufeff"))
    vtt = bool(lines) and lines[0].startswith("WEBVTT")
    found: list[_Open] = []
    for line, previous_is_id in _lines(lines, vtt=vtt):
        match = _timing(line)
        if match or _is_broken_timing(line, first=previous_is_id is not None):
            if found and previous_is_id and found[-1].lines:
                found[-1].lines.pop()
            found.append(_open(match, line))
        elif found:
            found[-1].lines.append(line)
    return [
        RawCue(*cue.times, "\n".join(cue.lines).strip("\n"), problem=cue.problem) for cue in found
    ]


def parse_time(text: str) -> float | None:
    """Return the seconds of a time such as ``1:02:03,5``; None for one that cannot be read.

    The fraction is a decimal fraction (``,86`` is 0.86 s). A fourth part behind a colon is read as
    milliseconds if it has three digits: with two it could be a number of video frames.
    """
    compact = text.replace(" ", "").removesuffix("s")
    match = re.fullmatch(r"([-+]?)(\d+(?::\d+){0,3})(?:[.,](\d+))?", compact)
    if match is None:
        return None
    sign, whole, fraction = match.groups()
    parts = whole.split(":")
    if len(parts) == 4:
        if fraction is not None or len(parts[3]) != 3:
            return None
        fraction = parts.pop()
    if max(map(len, parts)) > 12:
        return None
    seconds = 0
    for part in parts:
        seconds = seconds * 60 + int(part)
    value = float(f"{seconds}.{fraction or 0}")
    return -value if sign == "-" else value


def _lines(lines: Sequence[str], *, vtt: bool) -> Iterator[tuple[str, bool | None]]:
    """Yield every line that can belong to a cue, and the kind of the line before it.

    The second value is True if the previous line is the cue's identifier, False if this line is
    the first of its block, and None if it is neither (it follows text without a blank line).
    """
    place = 0
    if vtt:  # The header ends at a blank line, or where the first cue starts.
        place = 1
        while place < len(lines) and lines[place].strip() and not _timing(lines[place]):
            place += 1
    first_of_block, previous = True, ""
    number = 0
    while place < len(lines):
        line = lines[place]
        place += 1
        if not line.strip():
            first_of_block, previous = True, ""
            yield "", None
            continue
        if vtt and first_of_block and line.split()[0] in _BLOCKS and not _timing(line):
            while place < len(lines) and lines[place].strip() and not _timing(lines[place]):
                place += 1
            continue
        is_timing = _timing(line) is not None or _ARROW.search(line) is not None
        identifier = is_timing and previous != "" and _is_identifier(previous, number)
        yield line, True if identifier else False if first_of_block else None
        if is_timing:
            number += 1
        previous = _mark(line, first=first_of_block)
        first_of_block = False


def _mark(line: str, *, first: bool) -> str:
    """Return the input of ``_is_identifier``: a mark for a block's first line, and the text."""
    return ("^" if first else "_") + line.strip()


def _is_identifier(previous: str, number: int) -> bool:
    """True if the line before the times names the cue.

    The first line of a block does; so does a bare number that follows text without a blank line,
    if it counts the cues (from 0 or 1).
    """
    if previous.startswith("^"):
        return _timing(previous[1:]) is None
    digits = _DIGITS.match(previous[1:])
    return digits is not None and int(previous[1:]) in {number, number + 1}


def _timing(line: str) -> re.Match[str] | None:
    """Match a timing line: the groups are start, end and, of some formats, the text.

    Wide forms of digits and colons are read as the usual ones, invisible characters are ignored.
    """
    if not line.isascii():
        line = unicodedata.normalize("NFKC", line)
        line = "".join(c for c in line if unicodedata.category(c) != "Cf")
    return _TIMING.match(line) or _BRACKETED.match(line) or _LOOSE.match(line)


def _is_broken_timing(line: str, *, first: bool) -> bool:
    """True for a malformed timing line.

    Inside the text an arrow is text, unless a time is next to it and no word before it.
    """
    if not _ARROW.search(line):
        return False
    left, _, right = line.partition("-->")
    has_time = any(re.search(r"\d\s*:\s*\d", side) for side in (left, right))
    return first or (has_time and not _LETTER.search(left))


def _open(match: re.Match[str] | None, line: str) -> _Open:
    if match is None:
        return _Open((None, None), f"its times cannot be read: {line.strip()[:60]!r}", [])
    start, end = parse_time(match[1]), parse_time(match[2])
    problem = None
    if start is None or end is None:
        problem = f"its times cannot be read: {line.strip()[:60]!r}"
    elif end < start:
        problem = f"it ends at {end:g} s, before its start at {start:g} s"
    text = match[3] if match.re is _BRACKETED else ""
    return _Open((start, end), problem, [text] if text else [])
