"""Notes: codes for programs, messages for people."""

import dataclasses
import json
from typing import get_args

import pytest

import emo_runtime
from emo_runtime.notes import NOTE_CODES, Note, NoteCode


def test_every_code_is_documented():
    assert set(NOTE_CODES) == set(get_args(NoteCode))
    assert all(meaning.endswith(".") for meaning in NOTE_CODES.values())


def test_a_note_prints_as_its_message_and_cannot_be_changed():
    note = Note("quiet", "the level is -60 dBFS")
    assert str(note) == "the level is -60 dBFS"
    with pytest.raises(dataclasses.FrozenInstanceError):
        note.code = "clipped"


def test_an_answer_as_json_has_codes_and_messages():
    note = Note("quiet", "the level is -60 dBFS")
    answer = emo_runtime.Answer(
        task="text",
        label="joy",
        confidence=1.0,
        scores={"joy": 1.0},
        tokens=3,
        duration_s=0.0,
        provider="CPUExecutionProvider",
        timings=emo_runtime.Timings(),
        notes=(note,),
    )
    [written] = json.loads(json.dumps(answer.to_dict()))["notes"]
    assert written == {"code": "quiet", "message": "the level is -60 dBFS"}
    assert emo_runtime.Note is Note
