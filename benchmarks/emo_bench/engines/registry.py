"""Engines by name: emo-runtime, a sleeper for tests, and the rivals."""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from emo_bench.engines.base import Engine
from emo_bench.engines.emo import EmoEngine
from emo_runtime.errors import EmoError

OURS = "emo"
_CHECKPOINT_READERS = ("torch", "transformers", "librosa", "emo_models")


@dataclass(frozen=True)
class Rival:
    """Module in ``emo_bench.engines``, precision, and the modules that it needs beside PyTorch."""

    module: str
    precision: str
    needs: tuple[str, ...] = ()


RIVALS = {
    "pytorch-fp32": Rival("pytorch", "fp32"),
    "pytorch-int8": Rival("pytorch", "int8"),
    "onnxruntime-fp32": Rival("onnxruntime", "fp32"),
    "optimum-int8": Rival("onnxruntime", "int8", ("optimum",)),
    "openvino-fp32": Rival("openvino", "fp32", ("openvino",)),
    "openvino-bf16": Rival("openvino", "bf16", ("openvino",)),
    "openvino-nncf-int8": Rival("openvino", "int8", ("openvino", "nncf")),
    "ctranslate2-int8": Rival("ctranslate2", "int8", ("ctranslate2",)),
}
# For bundles with a speech graph. optimum exports few architectures, and not Wav2Vec2-BERT.
SPEECH_RIVALS = {
    "speech-emotion": Rival("speech", "toolkit"),
    "speech-pytorch-fp32": Rival("speech", "pytorch fp32"),
    "speech-pytorch-int8": Rival("speech", "pytorch int8"),
    "speech-onnxruntime-fp32": Rival("speech", "onnxruntime fp32"),
    "speech-optimum-int8": Rival("speech", "optimum int8", ("optimum",)),
    "speech-openvino-fp32": Rival("speech", "openvino fp32", ("openvino",)),
}
_ALL = {**RIVALS, **SPEECH_RIVALS}


def open_engine(name: str, options: dict[str, Any]) -> Engine:
    """Open an engine. Raises EmoError if the name is unknown or a library is not installed."""
    if name == OURS:
        return EmoEngine(**options)
    if name == "sleeper":
        return _open("emo_bench.engines.fake", options)
    rival = _ALL.get(name)
    if rival is None:
        raise EmoError(f"unknown engine {name!r}. Known: {', '.join([OURS, *_ALL])}.")
    for module in (*_CHECKPOINT_READERS, *rival.needs):
        if importlib.util.find_spec(module) is None:
            raise EmoError(f"{module} is not installed.")
    module = f"emo_bench.engines.{rival.module}"
    return _open(module, {**options, "precision": rival.precision})


def _open(module: str, options: dict[str, Any]) -> Engine:
    engine: Engine = importlib.import_module(module).open_engine(**options)
    return engine
