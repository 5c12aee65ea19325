"""Sessions: the protocol that the engine runs graphs with, and its ONNX Runtime implementation.

The only module that imports ONNX Runtime, after its telemetry was switched off. A named execution
provider that does not attach is an error, never a silent fallback to the CPU.
"""

import ctypes
import os
import sys
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

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
    keeps them from writing a device id and starting a thread (ONNX Runtime's Privacy.md). Warns
    if another module imported ONNX Runtime without it. Raises ProviderError.
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
            f"onnxruntime can't be imported ({error}). Run: pip install onnxruntime."
            f"{explain_distributions()}"
        ) from None
    module: ModuleType = onnxruntime
    return module


def telemetry_is_off() -> bool:
    """False if another module imported onnxruntime before and did not switch its telemetry off."""
    return "onnxruntime" not in sys.modules or os.environ.get(_TELEMETRY) == "1"


class Session(Protocol):
    """One graph that can be run. Implementations are safe to use from several threads."""

    @property
    def precision(self) -> Precision:
        """Precision of the variant that runs."""

    @property
    def providers(self) -> tuple[str, ...]:
        """Execution providers, the preferred one first."""

    @property
    def nodes(self) -> Mapping[str, int]:
        """Number of nodes by provider; empty if unknown."""

    @property
    def threads(self) -> int:
        """Intra-op threads."""

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """Return the named outputs for the inputs ``feeds``. Raises EmoError."""


@dataclass(frozen=True)
class SessionConfig:
    """Settings of a session.

    Attributes:
        provider: Execution provider.
        threads: Intra-op threads.
        spin: Idle threads spin while they wait for the next run.
        huge_pages: Ask the kernel to put the weights into huge pages (CPU, Linux).
    """

    provider: Provider
    threads: int
    spin: bool = True
    huge_pages: bool = True


class OrtSession:
    """One graph in this process, run by ONNX Runtime."""

    def __init__(self, graph: VerifiedFile, precision: Precision, config: SessionConfig) -> None:
        self.precision: Precision = precision
        self.threads = config.threads
        self._session = _create(graph, config)
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        self.nodes = _nodes_by_provider(self._session)
        if self.nodes and config.provider.name not in self.nodes:
            raise ProviderError(
                _did_not_attach(config.provider.name, "it accepts no node of this graph")
            )

    @property
    def provider(self) -> str:
        """The provider that runs most of the graph."""
        return max(self.nodes, key=lambda name: self.nodes[name], default=self.providers[0])

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """Return the named outputs. Raises ProviderError if the provider fails."""
        try:
            results: list[Array] = self._session.run(list(outputs), dict(feeds))
        except Exception as error:  # noqa: BLE001  (ONNX Runtime's errors share no public base)
            raise ProviderError(
                f"{self.provider} failed during a run: {first_line(error)}. No other provider was "
                "tried. Open the recognizer again, or use providers='cpu'."
            ) from None
        return results


def _create(graph: VerifiedFile, config: SessionConfig) -> Any:
    runtime = load_onnxruntime()
    name = config.provider.name
    options = _options(runtime, config)
    own = provider_options(name, config.threads)
    wanted = None
    if config.provider.devices:
        options.add_provider_for_devices(list(config.provider.devices), own)
    else:
        wanted = [CPU] if name == CPU else [(name, own) if own else name, CPU]
    try:
        # enable_fallback=0: otherwise the Python wrapper builds a CPU session when the creation or
        # a run fails, and only prints a message.
        with in_huge_pages(wanted=config.huge_pages and name == CPU):
            session = runtime.InferenceSession(
                graph.source, options, providers=wanted, enable_fallback=0
            )
            _release_freed_memory()
    except Exception as error:  # noqa: BLE001  (see OrtSession.run)
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


def _options(runtime: ModuleType, config: SessionConfig) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = config.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if config.spin else "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def _release_freed_memory() -> None:
    """Make glibc return the memory used for parsing the graph: 70 of 260 MB at BETO's size."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries lack malloc_trim
        if trim is not None:
            trim(0)


def _nodes_by_provider(session: Any) -> dict[str, int]:
    """Number of nodes by provider; empty if ONNX Runtime is too old to report it."""
    nodes: Counter[str] = Counter()
    if hasattr(session, "get_provider_graph_assignment_info"):
        for part in session.get_provider_graph_assignment_info():
            nodes[part.ep_name] += len(part.get_nodes())
    return dict(nodes)


def _did_not_attach(provider: str, why: str) -> str:
    return (
        f"{provider} did not attach: {why.rstrip('.')}. Repair its installation (driver, "
        "libraries), use providers='cpu', or allow the CPU with "
        f"fallback=True.{explain_distributions()}"
    )
