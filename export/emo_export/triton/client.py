"""Recognize emotion with the models of this repository in a Triton server.

    pip install emo-runtime "tritonclient[http]"
    python client.py --text "¡Qué vergüenza!" [--audio llamada.wav] [--url localhost:8000]
    python client.py --check

Triton runs the graphs; emo_runtime's engine does everything before and after them. ``--check``
compares the server's answers to the inputs of golden.json with the reference's.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from emo_runtime import Answer, EmoError
from emo_runtime.audio.decode import AudioSource
from emo_runtime.bundle.golden import parse_golden
from emo_runtime.bundle.manifest import PRECISIONS, File, Graph, Precision
from emo_runtime.bundle.manifest_reader import parse_manifest
from emo_runtime.engine import Engine
from emo_runtime.self_test import run_self_test

HERE = Path(__file__).parent
Array = NDArray[Any]
# Arguments: name of a model, its inputs, names of outputs. Returns these outputs.
Infer = Callable[[str, Mapping[str, Array], Sequence[str]], list[Array]]


class TritonSession:
    """One graph in a Triton server: an implementation of ``emo_runtime.ort.session.Session``."""

    providers = ("Triton",)
    threads = 1

    def __init__(self, graph: str, precision: Precision, infer: Infer) -> None:
        self.precision: Precision = precision
        self.nodes: dict[str, int] = {}
        self._model = f"emo_{graph}_{precision}".replace("-", "_")
        self._infer = infer

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """Return the named outputs for the inputs ``feeds``."""
        return self._infer(self._model, feeds, outputs)


class Client:
    """Answers utterances with the models that ``infer`` reaches.

    Args:
        infer: Runs a model.
        precision: Variant of the text graphs. None: the first in the manifest.
    """

    def __init__(self, infer: Infer, precision: Precision | None = None) -> None:
        manifest = parse_manifest((HERE / "manifest.json").read_bytes())
        sessions = {
            name: TritonSession(name, _variant(graph, precision), infer)
            for name, graph in manifest.graphs.items()
        }
        self._engine = Engine(manifest, tuple(manifest.tasks), sessions, _read)

    def recognize(self, text: str | None, audio: AudioSource | None) -> Answer:
        """Answer one utterance. Raises EmoError."""
        return self._engine.recognize(text, audio)

    def check(self) -> float:
        """Return the largest difference of a probability from the reference's.

        Raises SelfTestError where it exceeds the tolerance.
        """
        engine = self._engine
        golden = parse_golden((HERE / "golden.json").read_bytes(), engine.manifest)
        return run_self_test(golden, engine.tasks, engine.recognize, engine.precisions)


def _variant(graph: Graph, wanted: Precision | None) -> Precision:
    return wanted if wanted in graph.variants else next(iter(graph.variants))


def _read(file: File) -> bytes:
    return (HERE / file.file).read_bytes()


def over(server: InferenceServerClient) -> Infer:
    """Return a function that runs the models of a server."""

    def infer(model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        tensors = []
        for name, values in inputs.items():
            tensor = InferInput(name, values.shape, np_to_triton_dtype(values.dtype))
            tensors.append(tensor.set_data_from_numpy(np.ascontiguousarray(values)))
        wanted = [InferRequestedOutput(output) for output in outputs]
        result = server.infer(model, tensors, outputs=wanted)
        return [result.as_numpy(output) for output in outputs]

    return infer


def main() -> None:
    """Print the probabilities, the highest first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", default="localhost:8000", help="host and port of the server")
    parser.add_argument("--text", help="transcript")
    parser.add_argument("--audio", type=Path, help="sound file")
    parser.add_argument("--precision", choices=PRECISIONS, help="variant of the text graphs")
    parser.add_argument("--check", action="store_true", help="compare with the golden answers")
    options = parser.parse_args()
    if not options.check and options.text is None and options.audio is None:
        parser.error("give --text, --audio or both")
    with InferenceServerClient(options.url) as server:
        try:
            client = Client(over(server), options.precision)
            if options.check:
                print(f"largest difference of a probability: {client.check():.2g}")
                return
            scores = client.recognize(options.text, options.audio).scores
        except (EmoError, InferenceServerException, OSError) as error:
            raise SystemExit(f"Error: {error}") from None
    for label in sorted(scores, key=lambda label: -scores[label]):
        print(f"{label:<10}{scores[label]:.3f}")


if __name__ == "__main__":
    main()
