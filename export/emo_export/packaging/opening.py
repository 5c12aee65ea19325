"""Open an exported bundle with the runtime, as a user does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_runtime import EmotionRecognizer
from emo_runtime.bundle.reader import Bundle, open_bundle
from emo_runtime.errors import BundleError, EmoError

_WORD = "casa "
# Precisions of ONNX Runtime's CPU provider; int8-qdq is for OpenVINO's, but runs here too.
_PROVIDER = "cpu"
_SHORTEST_S, _LONGEST_S = 0.1, 15.0
_RATE = 16_000


def check_bundle(directory: Path) -> None:
    """Check a bundle: hashes, golden self-test, and predictions for short and long inputs.

    Every precision of the text and speech graphs is opened, and every task is asked. The texts have
    one token and ``max_tokens``; the sounds last 0.1 s and ``max_s``, but at most 15 s, because the
    memory of attention grows with the square of the length.

    Raises:
        EmoError: the runtime refuses the bundle or one of these inputs.
    """
    bundle = open_bundle(directory)
    bundle.verify()
    variants = {
        precision
        for graph in bundle.manifest.graphs.values()
        for precision in graph.variants
        if graph.kind != "fusion"
    }
    for precision in sorted(variants):
        with EmotionRecognizer.open(
            directory, providers=_PROVIDER, threads=1, variant=precision, self_test=False
        ) as recognizer:
            recognizer.self_test()
            try:
                _ask(recognizer, bundle)
            except EmoError as error:
                raise BundleError(f"{precision}: {error}") from error


def _ask(recognizer: EmotionRecognizer, bundle: Bundle) -> None:
    """Ask every task for a short and a long input."""
    longest = max((item.max_tokens for item in bundle.manifest.tokenizers.values()), default=1)
    texts = ("a", _WORD * longest)
    audio = bundle.manifest.audio
    longest_s = min(audio.max_s or _LONGEST_S, _LONGEST_S) if audio else _LONGEST_S
    for task in recognizer.tasks:
        for written, seconds in zip(texts, (_SHORTEST_S, longest_s), strict=True):
            text = None if task == "audio" else written
            sound = None if task == "text" else _noise(seconds)
            with _naming(text, seconds if sound else None):
                recognizer.recognize(text=text, audio=sound, task=task)


def _noise(seconds: float) -> tuple[NDArray[np.float32], int]:
    samples = np.random.default_rng(0).standard_normal(round(seconds * _RATE)) / 10
    return samples.astype(np.float32), _RATE


@contextmanager
def _naming(text: str | None, seconds: float | None) -> Iterator[None]:
    """Name the input in an error."""
    try:
        yield
    except EmoError as error:
        words = len((text or "").split())
        parts = [] if text is None else [f"a text of {words} {'word' if words == 1 else 'words'}"]
        parts += [] if seconds is None else [f"sound of {seconds:g} s"]
        raise BundleError(f"{' with '.join(parts)} gets no answer: {error}") from error
