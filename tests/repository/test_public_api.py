"""The public members of emo_runtime: adding or removing one is a decision, not an accident."""

import inspect

import emo_runtime
from emo_runtime import Answer, EmotionRecognizer, EmotionStream

MEMBERS = {
    "Answer",
    "ArgumentError",
    "AudioError",
    "BundleError",
    "ClosedError",
    "Cue",
    "EmoError",
    "EmotionRecognizer",
    "EmotionStream",
    "MissingExtraError",
    "Moment",
    "Note",
    "OverloadedError",
    "ProviderError",
    "SelfTestError",
    "Speaker",
    "TaskError",
    "TextError",
    "Timings",
    "Utterance",
    "__version__",
    "read_transcript",
}


def members(kind):
    return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}


def test_members_of_the_package():
    assert set(emo_runtime.__all__) == MEMBERS
    assert emo_runtime.__all__ == sorted(emo_runtime.__all__)
    assert all(hasattr(emo_runtime, name) for name in MEMBERS)


def test_members_of_a_recognizer():
    assert members(EmotionRecognizer) == {
        "after_fork",
        "arecognize",
        "check_forkable",
        "close",
        "describe",
        "labels",
        "manifest",
        "open",
        "precisions",
        "recognize",
        "recognize_batch",
        "recognize_each",
        "self_test",
        "speaker",
        "stream",
        "tasks",
        "timeline",
        "warm_up",
    }


def test_members_of_a_stream():
    assert members(EmotionStream) == {
        "afeed",
        "afinish",
        "apartial",
        "begin",
        "duration_s",
        "feed",
        "finish",
        "partial",
        "received_s",
        "reset",
        "set_text",
    }


def test_fields_of_an_answer():
    assert list(inspect.signature(Answer).parameters) == [
        "task",
        "label",
        "confidence",
        "scores",
        "tokens",
        "duration_s",
        "provider",
        "timings",
        "notes",
        "uncertain",
    ]


def test_every_public_member_is_documented():
    for name in MEMBERS - {"__version__"}:
        member = getattr(emo_runtime, name)
        assert (member.__doc__ or "").strip(), name
        for attribute, value in vars(member).items() if inspect.isclass(member) else ():
            if not attribute.startswith("_") and (callable(value) or isinstance(value, property)):
                assert (value.__doc__ or "").strip(), f"{name}.{attribute}"
