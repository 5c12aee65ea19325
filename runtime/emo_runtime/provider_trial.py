"""Try an execution provider on a bundle in a process of its own.

A driver that crashes ends that process only. ``python -m emo_runtime.provider_trial NAME BUNDLE``
prints one JSON document.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass

from emo_runtime.errors import EmoError
from emo_runtime.ort.providers import is_installed
from emo_runtime.ort.session import load_onnxruntime
from emo_runtime.recognizer import EmotionRecognizer

TIME_LIMIT_S = 120.0


@dataclass(frozen=True)
class Trial:
    """Result of a trial.

    Attributes:
        provider: Short name, such as "cuda".
        installed: ONNX Runtime's build or a plugin has it.
        attached: It ran at least one graph of the bundle.
        difference: Largest difference of a probability from the golden answers; None: no answer.
        graphs: Precision and provider of each graph.
        error: Why it did not attach, or answers differently.
    """

    provider: str
    installed: bool
    attached: bool = False
    difference: float | None = None
    graphs: dict[str, str] | None = None
    error: str | None = None


def try_provider(provider: str, bundle: str) -> Trial:
    """Run the self-test of a bundle with one provider, in this process."""
    graphs = None
    try:
        with EmotionRecognizer.open(bundle, providers=provider, self_test=False) as recognizer:
            graphs = graphs_of(recognizer)
            difference = recognizer.self_test()
    except EmoError as error:
        return Trial(provider, True, graphs is not None, None, graphs, str(error))
    return Trial(provider, True, True, difference, graphs)


def graphs_of(recognizer: EmotionRecognizer) -> dict[str, str]:
    """Return the precision and the provider of each graph, such as "fp32 on cpu"."""
    return {
        name: f"{graph['precision']} on {graph['providers'][0]}"
        for name, graph in recognizer.describe()["graphs"].items()
    }


def try_in_process(provider: str, bundle: str) -> Trial:
    """Run ``try_provider`` in a process of its own: a crash or a hang becomes an error.

    Without a process if the provider is not installed.
    """
    try:
        if not is_installed(provider, load_onnxruntime()):
            return Trial(provider, installed=False)
    except EmoError as error:
        return Trial(provider, installed=False, error=str(error))
    command = [sys.executable, "-m", "emo_runtime.provider_trial", provider, bundle]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIME_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        kind = "no answer in time" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        return Trial(provider, True, error=f"{provider} did not attach: {kind}.")
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    try:
        return Trial(**json.loads(lines[-1]))
    except (IndexError, ValueError, TypeError):
        return Trial(
            provider,
            True,
            error=f"{provider} did not attach: its process ended with code {done.returncode}.",
        )


if __name__ == "__main__":
    print(json.dumps(asdict(try_provider(*sys.argv[1:3]))))  # noqa: T201
