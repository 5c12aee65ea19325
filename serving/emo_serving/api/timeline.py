"""POST /v1/timeline: the answers of a recording, one for each cue of its transcripts."""

import asyncio
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from emo_runtime import Answer, EmoError, Moment
from emo_runtime.text.transcripts import Cue, decode_transcript
from emo_serving.api.bodies import (
    FORM,
    body_limit,
    check_media_type,
    received_body,
    requested_model,
)
from emo_serving.api.multipart import FormFile, Recording, parse_recording
from emo_serving.api.openapi import BUNDLE, POST_ERRORS, Endpoint, as_json
from emo_serving.api.schemas import ErrorBody, ErrorDetail
from emo_serving.context import client_of
from emo_serving.errors import TooLargeError, UnavailableError, body_of
from emo_serving.models import Model
from emo_serving.service import Service

MAX_CUES = 2_000
MAX_CUES_S = 2 * 3600.0
# Cues that are answered between two checks of the time limit.
_CUES_AT_ONCE = 8
_FORM = {
    "type": "object",
    "required": ["audio", "transcript"],
    "properties": {
        "audio": {"type": "string", "format": "binary"},
        "transcript": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "bundle": {"type": "string"},
    },
}


class CueAnswer(Struct):
    """A cue with its answer, or with the error that occurred instead."""

    start_s: float
    end_s: float
    channel: int | None
    speaker: str | None
    text: str
    answer: Answer | None
    error: ErrorDetail | None


class Timeline(Struct):
    """The cues of a recording by their start."""

    moments: list[CueAnswer]


async def timeline(request: Request) -> Response:
    """A form with a file audio and one or more files transcript (WebVTT, SubRip, JSON, TSV).

    Of several transcripts, the first belongs to the first channel of the recording, and so on.
    """
    service: Service = request.app.state.service
    check_media_type(request, FORM)
    limit = body_limit(request, service.settings)
    async with received_body(request, service.settings, service.admission, limit) as body:
        recording = parse_recording(request.headers["content-type"], body)
        with (
            requested_model(request, recording.bundle).use() as model,
            service.admission.call(client_of(request.scope)),
        ):
            moments = await _answer_cues(service, model, recording)
    return as_json({"moments": [_row(moment) for moment in moments]})


async def _answer_cues(service: Service, model: Model, recording: Recording) -> list[Moment]:
    """Answer the cues in one thread. Raises UnavailableError if it takes too long."""
    timeout_s = service.settings.timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            cues = await service.in_thread(lambda: read_cues(recording.transcripts))
            moments = model.recognizer.timeline(recording.audio, cues)
            found: list[Moment] = []
            while some := await service.in_thread(lambda: _next_moments(moments)):
                found += some
            return found
    except TimeoutError:
        raise UnavailableError(
            f"no timeline within {timeout_s:g} s: send a shorter part of the recording."
        ) from None


def read_cues(transcripts: Sequence[FormFile]) -> list[Cue]:
    """Return the cues of the transcripts by their start.

    Raises:
        TextError: A transcript can't be read.
        TooLargeError: There are too many cues, or they are too long.
    """
    several = len(transcripts) > 1
    cues = [
        cue
        for channel, file in enumerate(transcripts)
        for cue in decode_transcript(
            file.content,
            PurePath(file.name).suffix,
            f"transcript {channel + 1}",
            channel if several else None,
        )
    ]
    if len(cues) > MAX_CUES:
        raise TooLargeError(f"{len(cues):,} cues; the limit is {MAX_CUES:,}: send a part of them.")
    # An open end is infinite: such a cue lasts until the end of the recording.
    total = sum(cue.end_s - cue.start_s for cue in cues if math.isfinite(cue.end_s))
    if total > MAX_CUES_S:
        raise TooLargeError(
            f"the cues last more than {MAX_CUES_S:g} s in all, which is the limit: send a part of "
            "them."
        )
    return sorted(cues, key=lambda cue: cue.start_s)


def _next_moments(moments: Iterator[Moment]) -> list[Moment]:
    return list(itertools.islice(moments, _CUES_AT_ONCE))


def _row(moment: Moment) -> dict[str, Any]:
    cue, answer, error = moment.cue, moment.answer, moment.error
    return {
        "start_s": cue.start_s,
        "end_s": cue.end_s,
        "channel": cue.channel,
        "speaker": cue.speaker,
        "text": cue.text,
        "answer": None if answer is None else answer.to_dict(),
        "error": body_of(error) if isinstance(error, EmoError) else None,
    }


ENDPOINTS = [
    Endpoint(
        "POST",
        "/v1/timeline",
        timeline,
        "Recognize every cue of a recording",
        "recognize",
        answer=Timeline,
        bodies={FORM: _FORM},
        error=ErrorBody,
        errors=(*POST_ERRORS, 404),
        parameters=[BUNDLE],
    )
]
