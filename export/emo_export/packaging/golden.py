"""golden.json: a few inputs with reference outputs, for the self-test on other machines."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from emo_export.checkpoints.load import Checkpoints
from emo_export.evaluation.inputs import Inputs, Sound
from emo_export.evaluation.reference import Answers, reference
from emo_export.evaluation.rows import golden_clip
from emo_runtime.audio.decode import load_audio
from emo_runtime.audio.front_end import make_front_end
from emo_runtime.bundle.front_ends import FrontEndSettings, MeanMfccSettings
from emo_runtime.bundle.golden import Golden, GoldenAudio, GoldenCase
from emo_runtime.bundle.manifest import TaskName

Floats = NDArray[np.float32]
Probabilities = NDArray[np.float64]

# The self-test allows 0.05 for a reduced precision. Only cases well below that on this machine and
# with a clear label are selected, as a margin for the kernels of other machines.
STEADY = 0.02
CLEAR_MARGIN = 0.1
CASES_PER_TASK = 6


def golden_cases(
    checkpoints: Checkpoints,
    texts: Sequence[str],
    expected: Answers,
    found: Sequence[Answers],
    *,
    front_end: FrontEndSettings | None,
    answer: Callable[[Inputs], Iterable[Answers]],
) -> Golden:
    """Choose cases for every task of the bundle, spread over the labels.

    ``expected`` are the reference's predictions for ``texts``, ``found`` those of each variant of
    the graphs. For each label, the text with the highest probability is selected among those that
    all variants keep within ``STEADY``. The tasks with sound use the quarters of the built-in clip
    (for a speech graph also the whole clip) with the same texts; ``answer`` returns the
    predictions of each variant.
    """
    cases: list[GoldenCase] = []
    spoken = list(texts[:CASES_PER_TASK])
    if expected.text is not None:
        probabilities = checkpoints.probabilities("text", expected.text)
        worst = np.zeros(len(texts))
        for answers in found:
            worst = np.maximum(worst, _change(checkpoints, "text", probabilities, answers))
        chosen = _spread(probabilities, worst)
        spoken = [texts[index] for index in chosen]
        cases = [_case("text", probabilities[index], texts[index]) for index in chosen]
    if front_end is not None:
        cases += _with_sound(checkpoints, spoken, front_end, answer)
    return Golden(schema="emo-golden/1", labels=list(checkpoints.labels), cases=cases)


def _change(
    checkpoints: Checkpoints, task: TaskName, probabilities: Probabilities, answers: Answers
) -> Probabilities:
    """Return the largest change of a probability of each row."""
    logits = answers.of(task)
    if logits is None:
        return np.zeros(len(probabilities))
    found = checkpoints.probabilities(task, logits)
    return np.asarray(np.abs(found - probabilities).max(axis=1))


def _spread(probabilities: Probabilities, worst: NDArray[np.float64]) -> list[int]:
    """Return one row per predicted label, then the rows with the highest probabilities."""
    order = np.sort(probabilities, axis=1)
    margin = order[:, -1] - order[:, -2]
    ranked = sorted(
        range(len(worst)),
        key=lambda row: (worst[row] > STEADY, margin[row] < CLEAR_MARGIN, -margin[row], row),
    )
    answered = probabilities.argmax(axis=1)
    first_of_label: dict[int, int] = {}
    for row in ranked:
        first_of_label.setdefault(int(answered[row]), row)
    chosen = sorted(first_of_label.values(), key=ranked.index)[:CASES_PER_TASK]
    chosen += [row for row in ranked if row not in chosen][: CASES_PER_TASK - len(chosen)]
    steady = [row for row in chosen if worst[row] <= STEADY]
    return sorted(steady or ranked[:1])


def _with_sound(
    checkpoints: Checkpoints,
    texts: Sequence[str],
    settings: FrontEndSettings,
    answer: Callable[[Inputs], Iterable[Answers]],
) -> list[GoldenCase]:
    clips = _clips(whole=checkpoints.speech is not None)
    rows = np.arange(max(len(texts), 1)) % len(clips) if texts else np.zeros(0, np.int64)
    inputs = Inputs(texts, _sound(clips, rows, settings))
    expected = reference(checkpoints, inputs)
    found = list(answer(inputs))
    cases = []
    fusion, audio = expected.fusion, expected.audio
    if fusion is not None:
        steady, probabilities = _steady("fusion", checkpoints, fusion, found)
        cases += [
            _case("fusion", probabilities[row], texts[row], clips[rows[row]]) for row in steady
        ]
    if audio is not None:
        steady, probabilities = _steady("audio", checkpoints, audio, found)
        cases += [_case("audio", probabilities[row], None, clips[row]) for row in steady]
    return cases


def _steady(
    task: TaskName, checkpoints: Checkpoints, logits: Floats, found: Sequence[Answers]
) -> tuple[list[int], Probabilities]:
    """Return the rows whose probabilities change by at most ``STEADY``, or else the best row."""
    probabilities = checkpoints.probabilities(task, logits)
    worst = np.zeros(len(logits))
    for answers in found:
        worst = np.maximum(worst, _change(checkpoints, task, probabilities, answers))
    limit = max(STEADY, float(worst.min()))
    return [row for row in range(len(worst)) if worst[row] <= limit], probabilities


def _clips(*, whole: bool) -> list[GoldenAudio]:
    """Return the clip in four pieces: short, so that golden.json stays small, and different.

    A speech encoder also gets the whole clip, because its output depends on the length.
    """
    samples, sample_rate = golden_clip()
    pcm = np.rint(samples * 32768).clip(-32768, 32767).astype(np.int16)
    pieces = [*np.array_split(pcm, 4), *([pcm] if whole else [])]
    return [GoldenAudio.of(piece, sample_rate) for piece in pieces]


def _sound(
    clips: Sequence[GoldenAudio], rows: NDArray[np.int64], settings: FrontEndSettings
) -> Sound:
    front_end = make_front_end(settings)
    found = tuple(
        front_end.whole(load_audio((clip.samples(), clip.sample_rate), front_end.sample_rate))
        for clip in clips
    )
    if isinstance(settings, MeanMfccSettings):
        return Sound(rows, vectors=np.concatenate([features.parts[0] for features in found]))
    return Sound(rows, found)


def _case(
    task: TaskName, row: Probabilities, text: str | None, audio: GoldenAudio | None = None
) -> GoldenCase:
    probabilities = [round(float(value), 7) for value in row]
    return GoldenCase(task=task, probabilities=probabilities, text=text, audio=audio)
