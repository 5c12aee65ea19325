"""ONNX Runtime: the only module that imports it, once its telemetry is off, and strictly.

A named execution provider that does not attach is an error, never a silent move to the CPU.
"""

import ctypes
import os
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from emo_runtime.bundle.manifest import Precision
from emo_runtime.bundle.reader import VerifiedFile
from emo_runtime.errors import BundleError, ProviderError
from emo_runtime.ort.huge_pages import in_huge_pages
from emo_runtime.ort.providers import (
    CPU,
    Provider,
    explain_distributions,
    first_line,
    provider_options,
)

Array = NDArray[Any]

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
    elif "onnxruntime" not in sys.modules:
        os.environ[_TELEMETRY] = "1"
    try:
        import onnxruntime  # noqa: PLC0415
    except ImportError as error:
        raise ProviderError(
            f"onnxruntime can't be imported ({error}): pip install onnxruntime."
            f"{explain_distributions()}"
        ) from None
    module: ModuleType = onnxruntime
    return module


def telemetry_is_off() -> bool:
    """False where onnxruntime was imported by somebody else with its telemetry on."""
    return "onnxruntime" not in sys.modules or os.environ.get(_TELEMETRY) == "1"


@dataclass(frozen=True)
class SessionConfig:
    """Where a graph shall run: the provider, the threads, whether idle ones wait actively.

    ``huge_pages``: whether the kernel is asked to put the weights into them (CPU, Linux).
    """

    provider: Provider
    threads: int
    spin: bool = True
    huge_pages: bool = True


class Session:
    """One graph on one provider. Running it is safe from many threads."""

    def __init__(self, graph: VerifiedFile, precision: Precision, placement: SessionConfig) -> None:
        self.precision = precision
        self.threads = placement.threads
        self._session = _create(graph, placement)
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        self.nodes = _nodes_by_provider(self._session)
        if self.nodes and placement.provider.name not in self.nodes:
            raise ProviderError(
                _did_not_attach(placement.provider.name, "it takes no node of this graph")
            )

    @property
    def provider(self) -> str:
        """The provider that runs most of the graph."""
        return max(self.nodes, key=lambda name: self.nodes[name], default=self.providers[0])

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        """The named outputs. Raises ProviderError where the provider fails in the middle."""
        try:
            results: list[Array] = self._session.run(list(outputs), feeds)
        except Exception as error:  # noqa: BLE001  (ONNX Runtime's errors share no public base)
            raise ProviderError(
                f"{self.provider} failed while it ran: {first_line(error)}. Nothing was moved to "
                "another provider; open the recognizer again, or ask for providers='cpu'."
            ) from None
        return results


def _create(graph: VerifiedFile, placement: SessionConfig) -> Any:
    runtime = load_onnxruntime()
    name = placement.provider.name
    options = _options(runtime, placement)
    own = provider_options(name, placement.threads)
    wanted = None
    if placement.provider.devices:
        options.add_provider_for_devices(list(placement.provider.devices), own)
    else:
        wanted = [CPU] if name == CPU else [(name, own) if own else name, CPU]
    try:
        # enable_fallback: else the Python wrapper builds a CPU session when the creation or a
        # run fails, and only prints so.
        with in_huge_pages(wanted=placement.huge_pages and name == CPU):
            session = runtime.InferenceSession(
                graph.source, options, providers=wanted, enable_fallback=0
            )
            _give_back_freed_memory()
    except Exception as error:  # noqa: BLE001  (see Session.run)
        if name != CPU:
            raise ProviderError(_did_not_attach(name, first_line(error))) from None
        raise BundleError(
            f"{graph.name}: ONNX Runtime {runtime.__version__} can't load it: "
            f"{first_line(error)}. Update onnxruntime, or export the bundle again."
        ) from None
    session.disable_fallback()
    if name not in session.get_providers():
        raise ProviderError(_did_not_attach(name, "its libraries did not load"))
    return session


def _options(runtime: ModuleType, placement: SessionConfig) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = placement.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "1" if placement.spin else "0"
    )
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def _give_back_freed_memory() -> None:
    """Let glibc return what reading the graph took and freed: 70 MB of 260 at BETO's size."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            trim(0)


def _nodes_by_provider(session: Any) -> dict[str, int]:
    """How many nodes run on which provider; empty where ONNX Runtime is too old to tell."""
    nodes: Counter[str] = Counter()
    if hasattr(session, "get_provider_graph_assignment_info"):
        for part in session.get_provider_graph_assignment_info():
            nodes[part.ep_name] += len(part.get_nodes())
    return dict(nodes)


def _did_not_attach(provider: str, why: str) -> str:
    return (
        f"{provider} did not attach: {why.rstrip('.')}. Mend its installation (driver, libraries), "
        f"ask for providers='cpu', or allow the move with fallback=True.{explain_distributions()}"
    )
