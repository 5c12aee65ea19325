"""Bundles with a speech graph: the reference's answers, streams, windows, cost of a stream."""

import numpy as np
import pytest

from emo_runtime import ArgumentError, AudioError, BundleError, Cue, EmotionRecognizer, TaskError
from emo_runtime.bundle.signature import sign_bundle
from helpers.sounds import speechlike
from helpers.tiny import LABELS, SENTENCES, Tiny

KINDS = ["log_mel", "kaldi_fbank", "waveform"]
RATE = 16_000
SOUND = (speechlike(1.3, RATE, seed=3), RATE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{"present_input": True}, {"audio_only": True}], ids=str)
def test_answers_equal_the_reference(tiny_bundle, kind, options):
    tiny = Tiny(speech=kind, **options)
    recognizer = EmotionRecognizer.open(tiny_bundle(speech=kind, **options), warm=True)
    assert list(recognizer.tasks) == tiny.tasks()
    for task in tiny.tasks():
        text = None if task == "audio" else SENTENCES[1]
        answer = recognizer.recognize(text, None if task == "text" else SOUND)
        wanted = tiny.probabilities(task, SENTENCES[1], SOUND)
        np.testing.assert_allclose(list(answer.scores.values()), wanted, rtol=0, atol=1e-4)
        assert (answer.timings.speech_ms > 0) == (task != "text")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beyond_max", ["truncate", "windows"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_a_stream_gives_the_same_bits(tiny_bundle, kind, beyond_max, rate):
    bundle = tiny_bundle(speech=kind, present_input=True, max_s=1.0, beyond_max=beyond_max)
    recognizer = EmotionRecognizer.open(bundle)
    samples = np.round(speechlike(2.3, rate, seed=2) * 32767).astype("<i2")
    stream = recognizer.stream(sample_rate=rate)
    for start in range(0, len(samples), 700):
        stream.feed(samples[start : start + 700].tobytes())
        if stream.duration_s > 0.2:
            stream.partial()
    for text in (None, SENTENCES[0]):
        stream.set_text(text)
        answer, whole = stream.finish(), recognizer.recognize(text, (samples, rate))
        assert answer.scores == whole.scores
        assert answer.notes == whole.notes
        truncated = "audio_truncated" in [note.code for note in answer.notes]
        assert truncated == (beyond_max == "truncate")


def test_windows_are_averaged_by_length(tiny_bundle):
    options = {"speech": "waveform", "audio_only": True, "max_s": 1.0, "beyond_max": "windows"}
    tiny = Tiny(**options)
    recognizer = EmotionRecognizer.open(tiny_bundle(**options))
    samples = speechlike(1.6, RATE, seed=8)
    normalized = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    halves = np.split(normalized, 2)
    weights = tiny.speech_weights
    rows = [weights.logits(half.reshape(1, -1, 160)) for half in halves]
    logits = np.mean(rows, axis=0)[0] / tiny.fusion_temperature
    wanted = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    found = recognizer.recognize(audio=(samples, RATE)).scores
    np.testing.assert_allclose(list(found.values()), wanted, rtol=0, atol=1e-5)


class Counting:
    """A session that counts its runs."""

    def __init__(self, session):
        self.session = session
        self.runs = 0

    def run(self, outputs, feeds):
        self.runs += 1
        return self.session.run(outputs, feeds)

    def __getattr__(self, name):
        return getattr(self.session, name)


def test_a_stream_runs_the_speech_graph_as_seldom_as_asked(tiny_bundle):
    recognizer = EmotionRecognizer.open(tiny_bundle(speech="log_mel", present_input=True))
    sessions = recognizer._engine.sessions
    sessions["speech"] = counting = Counting(sessions["speech"])  # type: ignore[index]
    stream = recognizer.stream(sample_rate=RATE, partial_interval_s=0.5)
    for packet in np.split(speechlike(2.0, RATE), 100):
        stream.feed(packet)
        stream.partial()
    assert counting.runs == 4
    stream.set_text("no puedo más")
    assert stream.partial().task == "fusion"
    assert counting.runs == 5
    before = counting.runs
    stream.finish()
    stream.finish()
    assert counting.runs == before + 1
    stream.set_text("hola")
    stream.finish()
    assert counting.runs == before + 1
    every = recognizer.stream(sample_rate=RATE, partial_interval_s=0)
    every.feed(speechlike(1.0, RATE))
    before = counting.runs
    every.partial()
    every.feed(speechlike(0.1, RATE))
    every.partial()
    assert counting.runs == before + 2
    with pytest.raises(ArgumentError, match="partial_interval_s=-1"):
        recognizer.stream(sample_rate=RATE, partial_interval_s=-1)


def test_a_bundle_without_text(tiny_bundle):
    recognizer = EmotionRecognizer.open(tiny_bundle(speech="waveform", audio_only=True))
    assert recognizer.manifest.tokenizers == {}
    assert recognizer.recognize(audio=SOUND).label in LABELS
    with pytest.raises(TaskError, match="'text' is not loaded"):
        recognizer.recognize("hola")
    with pytest.raises(TaskError, match="'fusion' is not loaded"):
        recognizer.recognize("hola", SOUND)


def test_multi_label_scores_are_independent(tiny_bundle):
    recognizer = EmotionRecognizer.open(tiny_bundle(activation="sigmoid"))
    answer = recognizer.recognize(SENTENCES[0])
    assert answer.confidence == max(answer.scores.values())
    assert sum(answer.scores.values()) != pytest.approx(1, abs=1e-3)


def test_answers_below_the_minimum_confidence_are_uncertain(tiny_bundle):
    answers = [
        EmotionRecognizer.open(tiny_bundle(), min_confidence=limit).recognize(SENTENCES[0])
        for limit in (0.0, 1.0)
    ]
    assert [answer.uncertain for answer in answers] == [False, True]
    assert answers[0].to_dict()["uncertain"] is False


def test_a_partial_answer_needs_some_sound(tiny_bundle):
    recognizer = EmotionRecognizer.open(tiny_bundle(speech="waveform", present_input=True))
    stream = recognizer.stream(sample_rate=8_000)
    stream.feed(bytes(2))
    with pytest.raises(AudioError, match="too little sound has arrived"):
        stream.partial()
    assert stream.finish().task == "audio"


def test_a_graph_that_does_not_fit_the_front_end(own_bundle):
    bundle = own_bundle(speech="log_mel", present_input=True)
    manifest = bundle / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    for changed, message in (
        (text.replace('"n_mels": 80', '"n_mels": 128'), "its input 'features' is"),
        (text[: text.index('"audio": {\n    "kind"')] + '"audio": {"kind": "waveform"}}', "inputs"),
        (text.replace('"width": 10', '"width": 11'), "differs from the width 11"),
    ):
        manifest.write_text(changed, encoding="utf-8")
        with pytest.raises(BundleError, match=message):
            EmotionRecognizer.open(bundle, self_test=False)


@pytest.mark.parametrize("options", [{"present_input": True}, {"audio_only": True}], ids=str)
def test_a_timeline_answers_each_cue(tiny_bundle, options):
    recognizer = EmotionRecognizer.open(tiny_bundle(speech="log_mel", **options))
    cues = [Cue(0, 0.7, "hola estoy", channel=0), Cue(0.7, 1.3, "", channel=0)]
    first, second = recognizer.timeline(SOUND, cues)
    samples = SOUND[0]
    text = None if "audio_only" in options else "hola estoy"
    for moment, answer in (
        (first, recognizer.recognize(text, (samples[:11_200], RATE))),
        (second, recognizer.recognize(None, (samples[11_200:20_800], RATE))),
    ):
        assert moment.answer is not None, moment.error
        assert (moment.answer.task, moment.answer.scores) == (answer.task, answer.scores)


@pytest.mark.parametrize("options", [{"present_input": True}, {"audio_only": True}], ids=str)
def test_a_signed_bundle(own_bundle, tmp_path, options):
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    key, pem = ed25519.Ed25519PrivateKey.generate(), serialization.Encoding.PEM
    private, public = tmp_path / "key.pem", tmp_path / "key.public.pem"
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(pem, form, plain))
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(pem, kind))
    bundle = own_bundle(speech="log_mel", **options)
    sign_bundle(bundle, private)
    with EmotionRecognizer.open(bundle, public_key=public) as recognizer:
        assert recognizer.recognize(audio=SOUND).label in LABELS
    graph = bundle / "speech.fp32.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    with pytest.raises(BundleError, match=r"speech\.fp32\.onnx"):
        EmotionRecognizer.open(bundle, public_key=public)
