"""ONNX Runtime: the only module that imports it, once its telemetry is off, and strictly.

A named execution provider that does not attach is an error, never a silent move to the CPU.
"""

import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from emo_runtime.bundle import VerifiedFile
from emo_runtime.cpu import Threads
from emo_runtime.errors import BundleError, ProviderError
from emo_runtime.manifest import Precision

Array = NDArray[Any]

CPU = "CPUExecutionProvider"
PROVIDERS = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
# What "auto" takes where it is installed and attaches, best first.
_PREFERRED = ("cuda", "coreml", "directml")
_GPU = {PROVIDERS["cuda"], PROVIDERS["tensorrt"], PROVIDERS["directml"]}
_TELEMETRY = "ORT_DISABLE_TELEMETRY"


def load_onnxruntime() -> ModuleType:
    """Import ONNX Runtime with its telemetry off.

    Official builds switch telemetry on when they are loaded; only this variable, set before,
    keeps them from writing a device id and starting a thread (ONNX Runtime's Privacy.md).
    """
    if not telemetry_is_off():
        warnings.warn(
            f"onnxruntime was imported before emo_runtime and without {_TELEMETRY}=1: its "
            "telemetry may be on. Set that variable for the process.",
            RuntimeWarning,
            stacklevel=2,
        )
    os.environ[_TELEMETRY] = "1"
    try:
        import onnxruntime  # noqa: PLC0415
    except ImportError as error:
        raise ProviderError(
            f"onnxruntime can't be imported ({error}): pip install onnxruntime."
        ) from None
    module: ModuleType = onnxruntime
    return module


def telemetry_is_off() -> bool:
    """False where onnxruntime was imported by somebody else with its telemetry on."""
    return "onnxruntime" not in sys.modules or os.environ.get(_TELEMETRY) == "1"


@dataclass(frozen=True)
class Placement:
    """Where graphs shall run: ONNX Runtime's provider name, threads, and how strictly."""

    provider: str
    threads: Threads
    spin: bool = True
    fallback: bool = False


def choose_providers(requested: str) -> list[str]:
    """ONNX Runtime's names of the providers to try, in order. Raises ProviderError.

    ``requested`` is "auto", a short name ("cpu", "cuda", "tensorrt", "openvino", "coreml",
    "directml") or ONNX Runtime's own name.
    """
    available = load_onnxruntime().get_available_providers()
    if requested == "auto":
        preferred = [PROVIDERS[name] for name in _PREFERRED if PROVIDERS[name] in available]
        return [*preferred, CPU]
    name = PROVIDERS.get(requested.lower(), requested)
    if name not in PROVIDERS.values():
        raise ProviderError(
            f"provider {requested!r} is not known. Give one of: auto, {', '.join(PROVIDERS)}."
        )
    if name not in available:
        short = [key for key, value in PROVIDERS.items() if value in available]
        raise ProviderError(
            f"provider {requested!r} is not in this build of ONNX Runtime (it has: "
            f"{', '.join(short)}). Install the build that has it, or ask for another provider."
        )
    return [name]


def precisions_for(provider: str) -> tuple[Precision, ...]:
    """The variants that a provider may run, best first: int8 is slower than fp16 on a GPU."""
    return ("fp16", "fp32") if provider in _GPU else ("int8", "fp32", "fp16")


class Session:
    """One graph on one provider. Running it is safe from many threads."""

    def __init__(self, graph: VerifiedFile, precision: Precision, placement: Placement) -> None:
        self.precision = precision
        self._session = _create(graph, placement)
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        """The named outputs. Raises ProviderError where the provider fails in the middle."""
        try:
            results: list[Array] = self._session.run(list(outputs), feeds)
        except Exception as error:  # noqa: BLE001  (ONNX Runtime's errors share no public base)
            raise ProviderError(
                f"{self.providers[0]} failed while it ran: {_first_line(error)}. Nothing was moved "
                "to another provider; open the recognizer again, or ask for providers='cpu'."
            ) from None
        return results


def _create(graph: VerifiedFile, placement: Placement) -> Any:
    runtime = load_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = placement.threads.count
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "1" if placement.spin else "0"
    )
    wanted = [placement.provider]
    if placement.provider != CPU:
        wanted.append(CPU)
    try:
        session = runtime.InferenceSession(graph.source, options, providers=wanted)
    except Exception as error:  # noqa: BLE001  (see Session.run)
        if placement.provider != CPU:
            raise ProviderError(_did_not_attach(placement.provider, _first_line(error))) from None
        raise BundleError(
            f"{graph.name}: ONNX Runtime {runtime.__version__} can't load it: "
            f"{_first_line(error)}. Update onnxruntime, or export the bundle again."
        ) from None
    # The Python wrapper would otherwise build a new CPU session when a run fails.
    session.disable_fallback()
    if placement.provider not in session.get_providers() and not placement.fallback:
        raise ProviderError(_did_not_attach(placement.provider, "its libraries did not load"))
    return session


def _did_not_attach(provider: str, why: str) -> str:
    return (
        f"{provider} did not attach: {why}. Mend its installation (driver, libraries), ask for "
        "providers='cpu', or allow the move with fallback=True."
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
