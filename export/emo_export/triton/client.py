"""Asks a Triton server for the emotion of an utterance: what stands before and after the graphs.

    pip install emo-runtime "tritonclient[http]"
    python client.py --text "¡Qué vergüenza!" [--audio llamada.wav] [--url localhost:8000]
    python client.py --check

The last compares the server's answers to the inputs of golden.json with the checkpoint's.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from emo_runtime import EmoError, TaskError
from emo_runtime.audio.decode import AudioSource, load_audio
from emo_runtime.audio.mfcc import MeanMfcc
from emo_runtime.bundle.golden import compare, parse_golden
from emo_runtime.bundle.manifest import PRECISIONS, Audio, Precision, TaskName, parse_manifest
from emo_runtime.text.tokenizer import TextTokenizer

HERE = Path(__file__).parent
Array = NDArray[Any]
# Of a model's name, its inputs, and the name of one output: that output.
Infer = Callable[[str, dict[str, Array], str], Array]


class Client:
    """Answers utterances with the models that ``infer`` reaches; ``precision``: of the text's."""

    def __init__(self, infer: Infer, precision: Precision | None = None) -> None:
        self.manifest = parse_manifest((HERE / "manifest.json").read_bytes())
        self._infer = infer
        self._wanted = precision
        self._mfcc = MeanMfcc(self.manifest.audio or Audio())
        self._tokenizers = {
            name: TextTokenizer(
                (HERE / item.file).read_bytes(), item.file, item.max_tokens, item.vocab_size
            )
            for name, item in self.manifest.tokenizers.items()
        }

    def recognize(self, text: str | None, audio: AudioSource | None) -> dict[str, float]:
        """The probability of each label. Raises EmoError where text or sound can't be read."""
        name: TaskName = "text" if audio is None else "audio" if text is None else "fusion"
        if name not in self.manifest.tasks:
            raise TaskError(f"these models know the tasks {', '.join(self.manifest.tasks)} only.")
        task = self.manifest.tasks[name]
        if audio is None:
            logits = self._read(task.graph, str(text), strip=task.strip, output="logits")
        else:
            graph = self.manifest.graphs[task.graph]
            embedding: Array = np.zeros((1, graph.hidden or 0), np.float32)
            if text is not None:
                encoder = str(task.text_graph)
                embedding = self._read(encoder, text, strip=task.strip, output="embedding")
            inputs = {"audio": self._hear(audio), "text": embedding}
            if graph.present_input:
                inputs["present"] = np.array([[1, text is not None]], np.float32)
            logits = self._infer(self._model(task.graph), inputs, "logits")
        exponentials = np.exp((logits[0] - logits[0].max()) / task.temperature)
        scores = exponentials / exponentials.sum()
        return dict(zip(self.manifest.labels, scores.tolist(), strict=True))

    def check(self) -> float:
        """The largest difference of a probability. Raises SelfTestError where it is too large."""
        golden = parse_golden((HERE / "golden.json").read_bytes(), self.manifest)
        differences = []
        for case in golden.cases:
            sound = case.audio
            audio = None if sound is None else (sound.samples(), sound.sample_rate)
            scores = self.recognize(case.text, audio)
            task = self.manifest.tasks[case.task]
            graphs = [name for name in (task.graph, task.text_graph) if name is not None]
            precisions = frozenset(map(self._precision, graphs))
            differences.append(compare(case, list(scores.values()), precisions))
        return max(differences)

    def _read(self, graph: str, text: str, *, strip: bool, output: str) -> Array:
        tokenizer = self._tokenizers[str(self.manifest.graphs[graph].tokenizer)]
        ids = tokenizer(text, strip=strip).ids
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        return self._infer(self._model(graph), inputs, output)

    def _hear(self, audio: AudioSource) -> Array:
        samples = load_audio(audio, self._mfcc.contract.sample_rate)
        return self._mfcc(samples)[np.newaxis]

    def _model(self, graph: str) -> str:
        return f"emo_{graph}_{self._precision(graph)}".replace("-", "_")

    def _precision(self, graph: str) -> Precision:
        described = self.manifest.graphs[graph]
        if self._wanted is None or described.tokenizer is None:
            return next(iter(described.variants))
        return self._wanted


def over(server: InferenceServerClient) -> Infer:
    """Ask this server."""

    def infer(model: str, inputs: dict[str, Array], output: str) -> Array:
        tensors = []
        for name, values in inputs.items():
            tensor = InferInput(name, values.shape, np_to_triton_dtype(values.dtype))
            tensors.append(tensor.set_data_from_numpy(values))
        wanted = [InferRequestedOutput(output)]
        found: Array = server.infer(model, tensors, outputs=wanted).as_numpy(output)
        return found

    return infer


def main() -> None:
    """Print the answer, the likeliest label first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", default="localhost:8000")
    parser.add_argument("--text")
    parser.add_argument("--audio", type=Path)
    parser.add_argument(
        "--precision", choices=PRECISIONS, help="of the text graphs, where there are several"
    )
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if not options.check and options.text is None and options.audio is None:
        parser.error("give --text, --audio or both")
    with InferenceServerClient(options.url) as server:
        try:
            client = Client(over(server), options.precision)
            if options.check:
                print(f"largest difference of a probability: {client.check():.2g}")
                return
            scores = client.recognize(options.text, options.audio)
        except (EmoError, InferenceServerException, OSError) as error:
            raise SystemExit(f"Error: {error}") from None
    for label in sorted(scores, key=lambda label: -scores[label]):
        print(f"{label:<10}{scores[label]:.3f}")


if __name__ == "__main__":
    main()
