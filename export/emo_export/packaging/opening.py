"""Open an exported bundle with the runtime, as a user does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from emo_runtime import EmotionRecognizer
from emo_runtime.bundle.reader import Bundle, open_bundle
from emo_runtime.errors import BundleError, EmoError

_WORD = "casa "
# Precisions of ONNX Runtime's CPU provider; int8-qdq is for OpenVINO's, but runs here too.
_PROVIDER = "cpu"
_LONGEST_S = 15.0
_RATE = 16_000


def check_bundle(directory: Path) -> None:
    """Check a bundle: hashes, golden self-test, and predictions for short and long inputs.

    Every precision of the text and speech graphs is opened. The texts have one token and
    ``max_tokens``; the sounds last 0.1 s and ``max_s``, but at most 15 s, because the memory of
    attention grows with the square of the length.

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
    if "text" in recognizer.tasks:
        longest = max(item.max_tokens for item in bundle.manifest.tokenizers.values())
        for text in ("a", _WORD * longest):
            words = len(text.split())
            with _naming(f"a text of {words} {'word' if words == 1 else 'words'}"):
                recognizer.recognize(text=text, task="text")
    if "audio" in recognizer.tasks and bundle.manifest.audio is not None:
        longest_s = min(bundle.manifest.audio.max_s or _LONGEST_S, _LONGEST_S)
        for seconds in (0.1, longest_s):
            samples = np.random.default_rng(0).standard_normal(round(seconds * _RATE)) / 10
            with _naming(f"sound of {seconds:g} s"):
                recognizer.recognize(audio=(samples.astype(np.float32), _RATE), task="audio")


@contextmanager
def _naming(given: str) -> Iterator[None]:
    """Name the input in an error."""
    try:
        yield
    except EmoError as error:
        raise BundleError(f"{given} gets no answer: {error}") from error
