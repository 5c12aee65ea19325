"""POST /v1/timeline: compared with the library's timeline of the same files."""

import pytest

from emo_runtime.text.transcripts import read_transcript
from emo_serving.api import timeline
from emo_serving.api.multipart import FormFile, parse_recording
from emo_serving.errors import RequestError, TooLargeError
from helpers.corpora import ROOT
from helpers.sounds import as_file, speechlike

CALL = ROOT / "examples" / "call"
NAMES = ("agent.vtt", "customer.vtt")


def files(*names, audio=None):
    sound = (CALL / "call.flac").read_bytes() if audio is None else audio
    transcripts = [("transcript", (name, (CALL / name).read_bytes())) for name in names]
    return [("audio", ("call.flac", sound)), *transcripts]


@pytest.mark.parametrize("names", [NAMES, NAMES[:1]], ids=["two transcripts", "one transcript"])
def test_the_answers_are_the_librarys(client, recognizer, names):
    channels = range(len(names)) if len(names) > 1 else [None]
    cues = [
        cue
        for channel, name in zip(channels, names, strict=True)
        for cue in read_transcript(CALL / name, channel)
    ]
    cues.sort(key=lambda cue: cue.start_s)
    reply = client.post("/v1/timeline", files=files(*names))
    assert reply.status_code == 200
    moments = reply.json()["moments"]
    expected = list(recognizer.timeline(CALL / "call.flac", cues))
    assert len(moments) == len(expected) == 4 * len(names)
    for moment, other in zip(moments, expected, strict=True):
        cue = other.cue
        assert (moment["start_s"], moment["end_s"]) == (cue.start_s, cue.end_s)
        assert (moment["channel"], moment["speaker"]) == (cue.channel, cue.speaker)
        assert moment["text"] == cue.text
        assert moment["answer"]["scores"] == other.answer.scores
        assert moment["error"] is None


def test_a_cue_that_fails_is_that_cues_error(client):
    short = as_file(speechlike(4.0, 8000), 8000)
    moments = client.post("/v1/timeline", files=files("agent.vtt", audio=short)).json()["moments"]
    assert [moment["answer"] is None for moment in moments] == [False, True, True, True]
    assert "beyond the end of the recording" in moments[-1]["error"]["message"]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (files(), "1 to 8 files 'transcript'"),
        (files(NAMES[0])[1:], "one file 'audio'"),
        (files(*[NAMES[0]] * 9), "1 to 8 files 'transcript'"),
        ([*files(NAMES[0]), ("text", (None, "hola"))], "one field 'bundle' only"),
        ([("audio", ("a", b"x")), ("transcript", ("b.vtt", b"no cue"))], "transcript 1: no cue"),
    ],
    ids=["no transcript", "no sound", "nine transcripts", "a text", "no cue"],
)
def test_other_forms_are_refused(client, sent, message):
    reply = client.post("/v1/timeline", files=sent)
    assert reply.status_code == 422
    assert message in reply.json()["error"]["message"]


def test_a_truncated_form_is_refused():
    kind = "multipart/form-data; boundary=B"
    part = b'--B\r\nContent-Disposition: form-data; name="audio"; filename="a"\r\n\r\nxyz\r\n'
    with pytest.raises(RequestError, match="closing boundary"):
        parse_recording(kind, part)


def test_the_number_and_the_length_of_the_cues_are_limited(monkeypatch):
    transcript = FormFile("agent.vtt", (CALL / "agent.vtt").read_bytes())
    assert len(timeline.read_cues([transcript])) == 4
    monkeypatch.setattr(timeline, "MAX_CUES", 3)
    with pytest.raises(TooLargeError, match="4 cues; the limit is 3"):
        timeline.read_cues([transcript])
    monkeypatch.undo()
    monkeypatch.setattr(timeline, "MAX_CUES_S", 17.0)
    with pytest.raises(TooLargeError, match="more than 17 s"):
        timeline.read_cues([transcript])


def test_too_long_a_timeline_is_given_up(start):
    reply = start(timeout_s=1e-9).post("/v1/timeline", files=files("agent.vtt"))
    assert reply.status_code == 503
    assert "send a shorter part" in reply.json()["error"]["message"]
