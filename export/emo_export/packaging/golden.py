"""golden.json: a few inputs with the reference's answers, for the self-test on other machines."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from emo_export.checkpoints.load import Checkpoints
from emo_export.evaluation.reference import Answers, fusion_logits, reference
from emo_export.evaluation.rows import golden_clip
from emo_models.evaluation.metrics import softmax
from emo_runtime.audio.decode import load_audio
from emo_runtime.audio.mfcc import MeanMfcc
from emo_runtime.bundle.golden import Golden, GoldenAudio, GoldenCase
from emo_runtime.bundle.manifest import Audio, TaskName

Floats = NDArray[np.float32]
Probabilities = NDArray[np.float64]

# The self-test allows 0.05 for a reduced precision. A case is only taken where this machine stays
# well below, and where the label is clear, so that another machine's kernels may differ too.
STEADY = 0.02
CLEAR_MARGIN = 0.1
CASES_PER_TASK = 6


def golden_cases(
    checkpoints: Checkpoints,
    texts: Sequence[str],
    expected: Answers,
    found: Sequence[Answers],
    *,
    contract: Audio | None,
    answer: Callable[[Sequence[str], Floats], Iterable[Answers]],
) -> Golden:
    """Cases for every task of the bundle, spread over the labels.

    ``expected`` are the reference's answers to ``texts``, ``found`` those of each variant of the
    graphs: the most certain text of each label is taken whose probabilities they keep within
    ``STEADY``. The tasks with sound use the clip that ships, in its quarters, with the same texts;
    ``answer`` gives each variant's answers to texts and mean MFCC vectors.
    """
    labels = list(checkpoints.text.labels)
    temperature = checkpoints.text.temperature
    probabilities = softmax(expected.text, temperature)
    worst = np.zeros(len(texts))
    for answers in found:
        difference = np.abs(softmax(answers.text, temperature) - probabilities).max(axis=1)
        worst = np.maximum(worst, difference)
    chosen = _spread(probabilities, worst)
    cases = [_case("text", probabilities[index], texts[index]) for index in chosen]
    if checkpoints.fusion is not None and contract is not None:
        cases += _with_sound(checkpoints, [texts[index] for index in chosen], contract, answer)
    return Golden(schema="emo-golden/1", labels=labels, cases=cases)


def _spread(probabilities: Probabilities, worst: NDArray[np.float64]) -> list[int]:
    """One row per predicted label as long as there are some, then the most certain others."""
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
    contract: Audio,
    answer: Callable[[Sequence[str], Floats], Iterable[Answers]],
) -> list[GoldenCase]:
    fusion = checkpoints.fusion
    if fusion is None:
        return []
    clips = _quarters()
    sound = [clips[number % len(clips)] for number in range(len(texts))]
    mfcc = np.stack([_mfcc(clip, contract) for clip in sound])
    logits = reference(checkpoints, texts, mfcc).fusion
    if logits is None:
        return []
    probabilities = softmax(logits, fusion.temperature)
    worst = np.zeros(len(texts))
    for answers in answer(texts, mfcc):
        if answers.fusion is not None:
            found = softmax(answers.fusion, fusion.temperature)
            worst = np.maximum(worst, np.abs(found - probabilities).max(axis=1))
    kept = [row for row in range(len(texts)) if worst[row] <= max(STEADY, float(worst.min()))]
    cases = [_case("fusion", probabilities[row], texts[row], sound[row]) for row in kept]
    if fusion.present_input:
        vectors = np.stack([_mfcc(clip, contract) for clip in clips])
        silent = np.zeros((len(clips), fusion.hidden), np.float32)
        alone = softmax(fusion_logits(fusion, vectors, silent, (1.0, 0.0)), fusion.temperature)
        cases += [_case("audio", row, None, clip) for row, clip in zip(alone, clips, strict=True)]
    return cases


def _quarters() -> list[GoldenAudio]:
    """The clip in four pieces: short, so that golden.json stays small, and of different sound."""
    samples, sample_rate = golden_clip()
    whole = np.rint(samples * 32768).clip(-32768, 32767).astype(np.int16)
    return [GoldenAudio.of(piece, sample_rate) for piece in np.array_split(whole, 4)]


def _mfcc(clip: GoldenAudio, contract: Audio) -> NDArray[np.float32]:
    samples = load_audio((clip.samples(), clip.sample_rate), contract.sample_rate)
    return MeanMfcc(contract)(samples)


def _case(
    task: TaskName, row: Probabilities, text: str | None, audio: GoldenAudio | None = None
) -> GoldenCase:
    probabilities = [round(float(value), 7) for value in row]
    return GoldenCase(task=task, probabilities=probabilities, text=text, audio=audio)
