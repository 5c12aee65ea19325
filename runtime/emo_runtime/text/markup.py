"""Markup in transcripts: tags, entities, speaker prefixes and sound descriptions."""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from emo_runtime.text.cues import RawCue

_VOICE = re.compile(r"<v(?:\.[^\s>]*)*\s+([^>]*)>|</v>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|</[^<>]*>|<\d+:[\d:.,]*>|\{\\[^{}]*\}|\{[biu_/]+\}")
_BREAK = re.compile(r"\\[Nh]")  # of SubStation Alpha, which converters leave in SubRip
_BRACKETED = re.compile(r"\[[^\[\]\n]{1,80}\]")
_MUSIC = re.compile(r"[♩♪♫♬\u2669-\u266f]+")
_PARENTHESES = re.compile(r"\(([^()\n]{1,60})\)|\*([^*\n]{1,60})\*")
_SOUNDS = re.compile(
    r"\b(?:m[uú]sica|music|risas?|risotada|r[ií]e|laugh(?:s|ter|ing)?|aplausos?|applause|"
    r"suspir[oa]\w*|sigh\w*|llant[oa]|llora\w*|solloz\w*|cry\w*|sob\w*|tos|tose\w*|cough\w*|"
    r"grit[oa]s?|gritando|scream\w*|shout\w*|jade\w*|gem\w*|bostez\w*|carraspe\w*|estornud\w*|"
    r"silencio|silence|no habla\w*|habla\w* en|speaking in|pausa|pause|ruidos?|noise|"
    r"inaudible|ininteligible|unintelligible|"
    r"no se entiende|inentendible|blank[_ ]audio|crosstalk|tel[eé]fono suena|timbre|pitido|beep|"
    r"tono|hold music|bleep|sonido|sound|voz de fondo|background|murmullos?|"
    r"susurr\w*|whisper\w*)\b",
    re.IGNORECASE,
)
# Prefixes that name a speaker whatever the file: diarization labels and roles of a call.
_LABEL = (
    r"(?:speaker|spk|hablante|orador[a]?|ponente|locutor|interlocutor|voz|participante|canal|"
    r"channel)[ _-]?\w{1,3}"
)
_ROLE = (
    r"agente|asesor[a]?|operador[a]?|teleoperador[a]?|cliente|clienta|usuario|usuaria|bot|ivr|"
    r"entrevistador[a]?|entrevistad[oa]|doctor[a]?|paciente|moderador[a]?|periodista|"
    r"agent|customer|caller|operator|host|guest|interviewer|assistant|asistente"
)
_CERTAIN = re.compile(
    rf"\s*(?:\[([^\[\]\n:]{{1,60}})\]\s*:|\(([^()\n:]{{1,60}})\)\s*:|<({_LABEL})>\s*:?|"
    rf"[\[(]((?:{_LABEL})|(?:{_ROLE})(?:\s\d{{1,2}})?)[\])]|"
    rf"((?:{_LABEL})|(?:{_ROLE})(?:\s\d{{1,2}})?)\s*:)\s*",
    re.IGNORECASE,
)
# A name: one to four capitalized words or initials. Accepted only if most cues have one.
_WORD = r"[A-ZÁÉÍÓÚÜÑ][\w.'-]*"
_NAME = re.compile(rf"\s*({_WORD}(?:\s(?:de|del|la|las|los|y|{_WORD})){{0,4}}(?:\s\([^)]*\))?):\s+")
_DASH = re.compile(r"\s*[-–—]\s*(?=[^\s\d-])")
_CHEVRONS = re.compile(r"\s*>{2,}\s*")
_MIN_NAMED_SHARE = 0.5


@dataclass(frozen=True)
class Markup:
    """Markup to keep in the text of a transcript; by default only spoken words are kept.

    Attributes:
        keep_tags: keep ``<i>``, ``{\\an8}`` and entities such as ``&amp;`` unchanged.
        keep_sounds: keep sound descriptions: ``[Música]``, ``(risas)``, ``[BLANK_AUDIO]``, ``♪``.
        keep_speakers: keep speaker prefixes (``Cliente:``, ``[SPEAKER_00]:``, a dash) in the text
            instead of moving them to ``Cue.speaker``.
    """

    keep_tags: bool = False
    keep_sounds: bool = False
    keep_speakers: bool = False


def clean_cues(cues: Sequence[RawCue], markup: Markup) -> list[RawCue]:
    """Return the cues with plain text; one with several voices becomes one cue for each voice."""
    voices = [voice for cue in cues for voice in _voices(cue, markup)]
    if not markup.keep_speakers:
        named = _has_name_prefixes(voice.text for voice in voices)
        voices = [turn for voice in voices for turn in _turns(voice, named=named)]
    return [replace(voice, text=_plain(voice.text, markup)) for voice in voices]


def _voices(cue: RawCue, markup: Markup) -> Iterator[RawCue]:
    """Split a cue at its WebVTT voice spans, and remove the other tags."""
    if markup.keep_tags:
        yield cue
        return
    speaker, start = cue.speaker, 0
    parts: list[tuple[str | None, str]] = []
    for match in _VOICE.finditer(cue.text):
        parts.append((speaker, cue.text[start : match.start()]))
        speaker = html.unescape(match[1]).strip() or None if match[1] is not None else cue.speaker
        start = match.end()
    parts.append((speaker, cue.text[start:]))
    spoken = [(who, text) for who, text in parts if _without_tags(text).strip()]
    for who, text in spoken or parts[-1:]:
        yield replace(cue, speaker=who, text=_without_tags(text))


def _without_tags(text: str) -> str:
    return html.unescape(_TAG.sub("", _BREAK.sub(" ", text)))


def _has_name_prefixes(texts: Iterable[str]) -> bool:
    """True if at least half of the texts begin with a name and a colon, such as ``Carmen R.: ``."""
    spoken = [text for text in texts if text.strip()]
    starts = [_without_turn_mark(text) for text in spoken]
    named = sum(
        _CERTAIN.match(start) is not None or _NAME.match(start) is not None for start in starts
    )
    return bool(spoken) and named >= _MIN_NAMED_SHARE * len(spoken)


def _without_turn_mark(line: str) -> str:
    """Return a line without the chevrons or the dash with which a turn starts."""
    for mark in (_CHEVRONS, _DASH):
        if match := mark.match(line):
            line = line[match.end() :]
    return line


def _turns(cue: RawCue, *, named: bool) -> Iterator[RawCue]:
    """Split a cue where a line begins with a speaker prefix, and remove the prefixes."""
    turns: list[tuple[str | None, list[str]]] = []
    for line in cue.text.split("\n"):
        speaker, rest, starts = _prefix(line, named=named)
        if starts or not turns:
            turns.append((speaker or cue.speaker, [rest]))
        else:
            turns[-1][1].append(rest)
    spoken = [(who, "\n".join(lines)) for who, lines in turns if "".join(lines).strip()]
    if not spoken:
        yield replace(cue, speaker=turns[0][0], text="")
        return
    for who, text in spoken:
        yield replace(cue, speaker=who, text=text)


def _prefix(line: str, *, named: bool) -> tuple[str | None, str, bool]:
    """Return the speaker of a line, the rest of it, and whether a new turn starts there."""
    rest = _without_turn_mark(line)
    starts, line = rest != line, rest
    match = _CERTAIN.match(line)
    if match is None and named:
        match = _NAME.match(line)
    if match is None:
        return None, line, starts
    speaker = next(group for group in match.groups() if group is not None).strip()
    return speaker, line[match.end() :], True


def _plain(text: str, markup: Markup) -> str:
    """Return the text on one line, without sound descriptions and invisible characters."""
    if not markup.keep_sounds:
        text = _BRACKETED.sub(" ", text)
        text = _PARENTHESES.sub(_drop_sound, text)
        text = _MUSIC.sub(" ", text)
    kinds = ((character, unicodedata.category(character)) for character in text)
    visible = "".join(" " if kind == "Cc" else c for c, kind in kinds if kind != "Cf")
    return " ".join(visible.split())


def _drop_sound(match: re.Match[str]) -> str:
    inside = match[1] or match[2]
    return " " if _SOUNDS.search(inside) else match[0]
