"""Speaker adaptation: against the formula, in streams, timelines and batches; profiles as files."""

import os

import numpy as np
import pytest

from emo_runtime import AudioError, Cue, EmotionRecognizer, Speaker, TaskError, Utterance
from emo_runtime.rows import RowFormat, open_rows
from helpers.sounds import as_file, speechlike
from helpers.tiny import SENTENCES, Tiny

RATE = 16_000
OPTIONS = {"speech": "waveform", "present_input": True, "adaptation": 3.0}
TINY = Tiny(**OPTIONS)
SOUNDS = [(speechlike(0.8, RATE, seed=number), RATE) for number in range(4)]


@pytest.fixture(scope="module")
def recognizer(tiny_bundle):
    return EmotionRecognizer.open(tiny_bundle(**OPTIONS))


def expected(sound, earlier, sentence=None):
    """Probabilities by the formula of the design document."""
    vectors = [TINY.audio_vector(*other)[0] for other in earlier]
    mean = (3.0 * TINY.population + np.sum(vectors, axis=0)) / (3.0 + len(vectors))
    if not vectors:
        mean = TINY.population
    text = np.zeros((1, TINY.hidden), np.float32)
    if sentence is not None:
        text = TINY.encoder_weights.embedding(TINY.ids(sentence))
    present = np.array([[1, sentence is not None]], np.float32)
    audio = (TINY.audio_vector(*sound) - mean).astype(np.float32)
    logits = TINY.fusion_weights.logits(audio, text, present)
    return TINY.activate(logits[0] / TINY.fusion_temperature)


def close(answer, probabilities):
    np.testing.assert_allclose(list(answer.scores.values()), probabilities, rtol=0, atol=1e-5)


def test_each_answer_uses_the_utterances_before_it(recognizer):
    speaker = recognizer.speaker()
    for number, sound in enumerate(SOUNDS):
        sentence = SENTENCES[0] if number % 2 else None
        answer = recognizer.recognize(sentence, sound, speaker=speaker)
        close(answer, expected(sound, SOUNDS[:number], sentence))
        assert speaker.count == number + 1


def test_without_a_profile_the_population_mean_is_removed(recognizer):
    close(recognizer.recognize(audio=SOUNDS[0]), expected(SOUNDS[0], []))
    empty = recognizer.recognize(audio=SOUNDS[0], speaker=recognizer.speaker())
    close(empty, expected(SOUNDS[0], []))


def test_a_text_does_not_change_a_profile(recognizer):
    speaker = recognizer.speaker()
    recognizer.recognize("hola", speaker=speaker)
    assert speaker.count == 0


def test_a_stream_uses_the_profile_and_adds_to_it_once(recognizer):
    speaker, other = recognizer.speaker(), recognizer.speaker()
    for sound in SOUNDS[:2]:
        stream = recognizer.stream(sample_rate=RATE, speaker=speaker)
        stream.feed(sound[0])
        count = speaker.count
        stream.partial()
        assert speaker.count == count
        answer = stream.finish()
        assert stream.finish() is answer
        stream.set_text("hola")
        stream.finish()
        assert speaker.count == count + 1
        assert answer.scores == recognizer.recognize(audio=sound, speaker=other).scores


def test_a_timeline_uses_all_cues_of_a_voice(recognizer):
    call = np.concatenate([samples for samples, _ in SOUNDS])
    who = ["Ana", "Luis", "Ana", None]
    cues = [Cue(0.8 * i, 0.8 * (i + 1), "", speaker=name) for i, name in enumerate(who)]
    answers = [moment.answer for moment in recognizer.timeline((call, RATE), cues)]
    close(answers[0], expected(SOUNDS[0], [SOUNDS[0], SOUNDS[2]]))
    close(answers[1], expected(SOUNDS[1], [SOUNDS[1]]))
    close(answers[2], expected(SOUNDS[2], [SOUNDS[0], SOUNDS[2]]))
    close(answers[3], expected(SOUNDS[3], []))


def test_a_batch_keeps_a_profile_for_each_name(recognizer):
    batch = [
        Utterance(audio=sound, speaker=name) for sound, name in zip(SOUNDS, "abaa", strict=True)
    ]
    for _ in range(3):  # the order of the threads does not count
        answers = recognizer.recognize_batch(batch)
        close(answers[0], expected(SOUNDS[0], []))
        close(answers[1], expected(SOUNDS[1], []))
        close(answers[2], expected(SOUNDS[2], [SOUNDS[0]]))
        close(answers[3], expected(SOUNDS[3], [SOUNDS[0], SOUNDS[2]]))


def test_names_are_ignored_by_a_bundle_that_does_not_adapt(tiny_bundle):
    recognizer = EmotionRecognizer.open(tiny_bundle())
    named = recognizer.recognize_batch([Utterance("hola", speaker="a")])
    assert named[0].scores == recognizer.recognize("hola").scores
    with pytest.raises(TaskError, match="do not adapt to speakers"):
        recognizer.speaker()


def test_the_same_profile_gives_the_same_bits(recognizer):
    speaker = recognizer.speaker()
    recognizer.recognize(audio=SOUNDS[0], speaker=speaker)
    first, second = (
        recognizer.recognize(audio=SOUNDS[1], speaker=speaker.copy()) for _ in range(2)
    )
    assert first.scores == second.scores
    assert speaker.count == 1


def test_a_saved_profile_is_the_same(recognizer, tmp_path):
    speaker = recognizer.speaker()
    recognizer.recognize(audio=SOUNDS[0], speaker=speaker)
    path = tmp_path / "ana.json"
    path.write_text("an earlier profile, readable by all", encoding="utf-8")
    path.chmod(0o644)
    speaker.save(path)
    assert list(tmp_path.iterdir()) == [path]
    assert os.name != "posix" or path.stat().st_mode & 0o077 == 0
    loaded = Speaker.load(path)
    assert (loaded.count, loaded.space, loaded.width) == (1, speaker.space, speaker.width)
    assert (
        recognizer.recognize(audio=SOUNDS[1], speaker=loaded).scores
        == recognizer.recognize(audio=SOUNDS[1], speaker=speaker).scores
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b'{"schema":"emo-speaker/1"}', b"{" * 100_000, b"x" * (2 << 20)],
)
def test_files_that_are_not_profiles(tmp_path, data):
    path = tmp_path / "profile"
    path.write_bytes(data)
    with pytest.raises(AudioError, match="profile can't be read"):
        Speaker.load(path)
    for value in ("AAAAAAAA8H8=", "!", "AAA="):
        path.write_text(f'{{"schema":"emo-speaker/1","space":"x","count":1,"sum":"{value}"}}')
        with pytest.raises(AudioError, match="profile can't be read"):
            Speaker.load(path)


def test_a_profile_of_another_bundle_is_refused(recognizer, tiny_bundle):
    other = EmotionRecognizer.open(tiny_bundle(seed=8, **OPTIONS)).speaker()
    with pytest.raises(TaskError, match="made with another bundle"):
        recognizer.recognize(audio=SOUNDS[0], speaker=other)
    with pytest.raises(TaskError, match="speaker is of type str"):
        recognizer.recognize(audio=SOUNDS[0], speaker="Ana")


def test_the_speaker_column_of_a_table(recognizer, tmp_path):
    for number, (samples, rate) in enumerate(SOUNDS[:3]):
        (tmp_path / f"{number}.wav").write_bytes(as_file(samples, rate))
    table = tmp_path / "rows.csv"
    table.write_text("audio,speaker\n0.wav,ana\n1.wav,luis\n2.wav,ana\n", encoding="utf-8")
    with open_rows(str(table), RowFormat(), None) as rows:
        answers = recognizer.recognize_batch([row.utterance for row in rows])
    alone = [recognizer.recognize(audio=tmp_path / f"{n}.wav") for n in range(2)]
    assert [answer.scores for answer in answers[:2]] == [answer.scores for answer in alone]
    speaker = recognizer.speaker()
    recognizer.recognize(audio=tmp_path / "0.wav", speaker=speaker)
    again = recognizer.recognize(audio=tmp_path / "2.wav", speaker=speaker)
    assert answers[2].scores == again.scores
