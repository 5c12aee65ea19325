"""Streams: for any chunking they equal the whole utterance; packets of every encoding."""

import io
import warnings

import numpy as np
import pytest
import soundfile

from emo_runtime import AudioError, ClosedError, EmoError, EmotionRecognizer, TaskError, TextError
from emo_runtime.audio.encodings import PacketDecoder
from helpers.sounds import as_file, speechlike
from helpers.tiny import SENTENCES

PCM = np.round(speechlike(1.7, 8_000, seed=5) * 32767).astype("<i2")


@pytest.fixture(scope="module")
def recognizer(tiny_bundle):
    return EmotionRecognizer.open(tiny_bundle(present_input=True))


def packets(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("size", [1, 7, 160, 320, 5_000, 10**6])
def test_any_packet_size_gives_the_same_answer(recognizer, rate, size):
    duration = 0.02 if size == 1 else 1.3
    samples = np.round(speechlike(duration, rate) * 32767).astype("<i2")
    whole = recognizer.recognize(SENTENCES[0], (samples, rate))
    stream = recognizer.stream(sample_rate=rate)
    for packet in packets(samples.tobytes(), size):
        stream.feed(packet)
    stream.set_text(SENTENCES[0])
    assert stream.finish().scores == whole.scores
    assert stream.duration_s == pytest.approx(duration)


@pytest.mark.parametrize(
    ("encoding", "subtype", "kind"),
    [("mulaw", "ULAW", "RAW"), ("alaw", "ALAW", "RAW"), ("pcm_f32le", "FLOAT", "RAW")],
)
def test_encodings_are_those_of_libsndfile(encoding, subtype, kind):
    if encoding == "pcm_f32le":
        data = speechlike(0.1, 8_000).astype("<f4").tobytes()
    else:
        data = bytes(range(256))
    expected, _ = soundfile.read(
        io.BytesIO(data),
        samplerate=8_000,
        channels=1,
        format="RAW",
        subtype=subtype,
        endian="LITTLE",
        dtype="float32",
    )
    samples, cut = PacketDecoder(encoding, 1)(data)
    np.testing.assert_array_equal(samples, expected)
    assert cut == b""


def test_a_packet_that_cuts_a_frame_is_continued(recognizer):
    stereo = np.stack([PCM, PCM // 2], axis=1)
    mono = (PCM / np.float32(32768) + (PCM // 2) / np.float32(32768)) / 2
    decoder = PacketDecoder("pcm_s16le", 2)
    samples, cut = decoder(stereo.tobytes()[:-1])
    assert len(samples) == len(PCM) - 1
    assert len(cut) == 3
    stream = recognizer.stream(sample_rate=8_000, channels=2)
    for packet in packets(stereo.tobytes(), 333):
        stream.feed(packet)
    answer = stream.finish()
    whole = recognizer.recognize(audio=(mono.astype(np.float32), 8_000))
    assert answer.scores == pytest.approx(whole.scores, abs=1e-6)
    assert not [note for note in answer.notes if note.code == "cut_off"]


def test_an_end_in_the_middle_of_a_sample_is_noted(recognizer):
    stream = recognizer.stream(sample_rate=8_000)
    stream.feed(PCM.tobytes() + b"\x01")
    [note] = [note for note in stream.finish().notes if note.code == "cut_off"]
    assert str(note) == "the stream ends in the middle of a sample"


def test_arrays_of_samples(recognizer):
    expected = recognizer.recognize(audio=(PCM, 8_000)).scores
    for samples in (PCM, PCM.astype(np.float32) / 32768, PCM[:, np.newaxis]):
        stream = recognizer.stream(sample_rate=8_000)
        stream.feed(samples)
        assert stream.finish().scores == expected
    stream = recognizer.stream(sample_rate=8_000, channels=2)
    stream.feed(np.stack([PCM, PCM], axis=1))
    assert stream.finish().scores == pytest.approx(expected, abs=1e-6)
    with pytest.raises(AudioError, match=r"samples of shape \(13600,\) in a stream of 2 channels"):
        recognizer.stream(sample_rate=8_000, channels=2).feed(PCM)


def test_partial_changes_nothing(recognizer):
    alone = recognizer.stream(sample_rate=8_000)
    asked = recognizer.stream(sample_rate=8_000)
    for packet in packets(PCM.tobytes(), 320):
        alone.feed(packet)
        asked.feed(packet)
        if asked.duration_s > 0.2:
            assert asked.partial().task == "audio"
    assert asked.finish().scores == alone.finish().scores


def test_the_text_branch_runs_once_for_a_text(recognizer):
    stream = recognizer.stream(sample_rate=8_000)
    stream.feed(PCM.tobytes())
    stream.set_text("no puedo")
    assert stream.partial().timings.text_ms > 0
    assert stream.partial().timings.text_ms == 0
    stream.set_text("no puedo")
    assert stream.partial().timings.text_ms == 0
    stream.set_text("no puedo más")
    assert stream.partial().timings.text_ms > 0
    answer = stream.finish()
    assert answer.scores == recognizer.recognize("no puedo más", (PCM, 8_000)).scores
    assert stream.finish() is answer
    assert stream.partial() is answer


def test_a_text_that_comes_after_the_end(recognizer):
    stream = recognizer.stream(sample_rate=8_000)
    stream.feed(PCM.tobytes())
    assert stream.finish().task == "audio"
    stream.set_text("no puedo más")
    late = stream.finish()
    assert late.scores == recognizer.recognize("no puedo más", (PCM, 8_000)).scores
    stream.set_text("  ")
    assert stream.finish().task == "audio"


def test_text_alone(recognizer):
    stream = recognizer.stream(sample_rate=8_000)
    stream.set_text("no puedo más")
    assert stream.partial().task == "text"
    assert stream.finish().scores == recognizer.recognize("no puedo más").scores


def test_a_finished_stream_takes_nothing_until_it_is_reset(recognizer):
    stream = recognizer.stream(sample_rate=8_000)
    stream.feed(PCM.tobytes())
    first = stream.finish()
    with pytest.raises(ClosedError, match=r"Call reset\(\)"):
        stream.feed(PCM.tobytes())
    stream.reset()
    assert stream.duration_s == 0
    stream.feed(PCM.tobytes())
    assert stream.finish().scores == first.scores


def test_a_context_ends_with_a_reset(recognizer):
    with recognizer.stream(sample_rate=8_000) as stream:
        stream.feed(PCM.tobytes())
    assert stream.duration_s == 0


def test_task_insists(recognizer):
    stream = recognizer.stream(sample_rate=8_000, task="audio")
    stream.feed(PCM.tobytes())
    stream.set_text("no puedo más")
    assert stream.finish().scores == recognizer.recognize(audio=(PCM, 8_000)).scores
    stream = recognizer.stream(sample_rate=8_000, task="fusion")
    stream.feed(PCM.tobytes())
    with pytest.raises(TextError, match="needs a transcript"):
        stream.finish()


def test_nothing_at_all(recognizer):
    stream = recognizer.stream(sample_rate=8_000)
    for call in (stream.partial, stream.finish):
        with pytest.raises(TaskError, match="neither text nor audio"):
            call()
    stream = recognizer.stream(sample_rate=8_000)
    stream.feed(b"")
    with pytest.raises(TaskError, match="neither text nor audio"):
        stream.finish()


def test_a_bad_packet_leaves_the_stream_as_it_was(recognizer):
    stream = recognizer.stream(sample_rate=8_000, encoding="pcm_f32le")
    floats = (PCM / np.float32(32768)).astype("<f4")
    stream.feed(floats.tobytes())
    for bad in (np.nan, np.inf, 1e6):
        with pytest.raises(AudioError):
            stream.feed(np.full(80, bad, "<f4").tobytes())
    assert stream.finish().scores == recognizer.recognize(audio=(floats, 8_000)).scores


@pytest.mark.parametrize("pair", [(np.inf, -np.inf), (3e38, 3e38)])
def test_channels_that_have_no_mean(recognizer, pair):
    frames = np.tile(np.array(pair, "<f4"), (80, 1))
    for encoding, packet in (("pcm_f32le", frames.tobytes()), ("pcm_s16le", frames)):
        stream = recognizer.stream(sample_rate=8_000, encoding=encoding, channels=2)
        with pytest.raises(AudioError, match="NaN or infinite"):
            stream.feed(packet)


def test_too_long(recognizer):
    stream = recognizer.stream(sample_rate=8_000, max_duration_s=1)
    stream.feed(bytes(16_000))
    with pytest.raises(AudioError, match="longer than 1 s"):
        stream.feed(bytes(2))
    assert stream.duration_s == 1
    assert stream.finish().task == "audio"


def test_a_window_keeps_the_last_seconds(recognizer):
    stream = recognizer.stream(sample_rate=22_050, window_s=2, max_duration_s=1)
    early, late = speechlike(30, 22_050, seed=1), speechlike(10, 22_050, seed=2)
    stream.feed(early)
    stream.feed(late)
    windowed = stream.partial()
    other = recognizer.stream(sample_rate=22_050, window_s=2, max_duration_s=1)
    other.feed(np.zeros_like(early))
    other.feed(late)
    assert other.partial().scores == windowed.scores
    assert (stream.duration_s, stream.received_s) == (2, 40)
    assert windowed.duration_s == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 0}, "sample rate of 0 Hz"),
        ({"sample_rate": 8_000, "encoding": "opus"}, "encoding 'opus' is not known"),
        ({"sample_rate": 8_000, "channels": 0}, "channels=0"),
        ({"sample_rate": 8_000, "channels": 99}, "channels=99"),
        ({"sample_rate": 8_000, "window_s": 0}, "window_s=0"),
        ({"sample_rate": 8_000, "window_s": float("nan")}, "window_s=nan"),
    ],
)
def test_streams_that_are_refused(recognizer, options, message):
    with pytest.raises(EmoError, match=message):
        recognizer.stream(**options)


def test_a_bundle_without_sound(tiny_bundle):
    recognizer = EmotionRecognizer.open(tiny_bundle(text_only=True))
    with pytest.raises(TaskError, match="no task with sound"):
        recognizer.stream(sample_rate=8_000)


def test_telephone_sound_is_noted_where_the_model_was_trained_wider(recognizer):
    wide = recognizer.recognize(audio=(speechlike(2, 22_050), 22_050))
    narrow = recognizer.recognize(audio=as_file(PCM, 8_000))
    assert wide.notes == ()
    assert [note.code for note in narrow.notes] == ["narrow_band"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        silent = recognizer.recognize(audio=(np.zeros(8_000, np.float32), 22_050))
    assert silent.scores


def test_one_of_several_channels(recognizer):
    stereo = np.stack([PCM, PCM[::-1]], axis=1)
    for channel, mono in ((0, PCM), (1, PCM[::-1])):
        for packet in (stereo.tobytes(), stereo):
            stream = recognizer.stream(sample_rate=8_000, channels=2, channel=channel)
            stream.feed(packet)
            expected = recognizer.recognize(audio=(mono.copy(), 8_000))
            assert stream.finish().scores == expected.scores
    with pytest.raises(EmoError, match="channel=2"):
        recognizer.stream(sample_rate=8_000, channels=2, channel=2)
