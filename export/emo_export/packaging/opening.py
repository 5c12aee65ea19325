"""Open an exported bundle with the runtime, as its users will."""

from pathlib import Path

from emo_runtime import EmotionRecognizer
from emo_runtime.bundle.reader import Bundle, open_bundle
from emo_runtime.errors import BundleError, EmoError

_WORD = "casa "
# What ONNX Runtime's CPU provider runs; int8-qdq is for OpenVINO's, but runs here too.
_PROVIDER = "cpu"


def check_bundle(directory: Path) -> None:
    """Open a bundle: hashes, golden self-test, a text of one token, one of ``max_tokens``.

    Every precision of the text graphs is opened.

    Raises:
        EmoError: the runtime refuses the bundle, or one of these texts gets no answer.
    """
    bundle = open_bundle(directory)
    bundle.verify()
    variants = {
        precision
        for graph in bundle.manifest.graphs.values()
        for precision in graph.variants
        if graph.tokenizer is not None
    }
    for precision in sorted(variants):
        with EmotionRecognizer.open(
            directory, providers=_PROVIDER, threads=1, variant=precision, self_test=False
        ) as recognizer:
            recognizer.self_test()
            for text in ("a", _WORD * _longest(bundle)):
                try:
                    recognizer.recognize(text=text, task="text")
                except EmoError as error:
                    words = len(text.split())
                    raise BundleError(
                        f"{precision}: a text of {words} {'word' if words == 1 else 'words'} gets "
                        f"no answer: {error}"
                    ) from error


def _longest(bundle: Bundle) -> int:
    return max(item.max_tokens for item in bundle.manifest.tokenizers.values())
