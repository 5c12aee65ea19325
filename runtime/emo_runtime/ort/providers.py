"""Execution providers: names, order of preference, plugins, precisions."""

import importlib
import importlib.metadata
import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from emo_runtime.arguments import did_you_mean, shown
from emo_runtime.bundle.manifest import Precision
from emo_runtime.errors import ProviderError

CPU = "CPUExecutionProvider"
PROVIDERS = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
# The providers that "auto" tries before the CPU, best first.
_PREFERRED = ("cuda", "coreml", "directml")
_GPU = {PROVIDERS["cuda"], PROVIDERS["tensorrt"], PROVIDERS["directml"]}
# Distributions that all contain the module `onnxruntime` and overwrite each other's files.
_DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-directml",
    "onnxruntime-migraphx",
    "onnxruntime-rocm",
    "onnxruntime-qnn",
    "onnxruntime-cann",
    "onnxruntime-training",
)
_registering = threading.Lock()


@dataclass(frozen=True, eq=False)
class Provider:
    """An execution provider to try; ``devices`` are set for a plugin."""

    name: str
    devices: tuple[Any, ...] = ()


def choose_providers(requested: str | Sequence[str], runtime: ModuleType) -> list[Provider]:
    """Return the providers to try, in order.

    Args:
        requested: "auto", a short name ("cpu", "cuda", "tensorrt", "openvino", "coreml",
            "directml"), ONNX Runtime's own name, or a sequence of them: the first that attaches is
            used, and those that are not installed are skipped if another one is.
        runtime: The onnxruntime module.

    Raises:
        ProviderError: A name is unknown, or no requested provider is installed.
    """
    if isinstance(requested, str):
        return _providers_of(requested, runtime)
    found: list[Provider] = []
    missing: ProviderError | None = None
    for name in requested:
        _short_name(name)
        try:
            found += _providers_of(name, runtime)
        except ProviderError as error:
            missing = error
    if not found:
        raise missing or ProviderError(
            "providers is empty. Give a name such as 'cpu', or a list of names."
        )
    return list({provider.name: provider for provider in reversed(found)}.values())[::-1]


def _providers_of(requested: str, runtime: ModuleType) -> list[Provider]:
    available = runtime.get_available_providers()
    if requested == "auto":
        preferred = [PROVIDERS[name] for name in _PREFERRED if PROVIDERS[name] in available]
        return [Provider(name) for name in [*preferred, CPU]]
    short = _short_name(requested)
    if PROVIDERS[short] in available:
        return [Provider(PROVIDERS[short])]
    plugin = f"onnxruntime_ep_{short}"
    if importlib.util.find_spec(plugin) is not None:
        return [_from_plugin(plugin, runtime)]
    known = ", ".join(short for short, name in PROVIDERS.items() if name in available)
    raise ProviderError(
        f"provider {shown(requested)} is not in this build of ONNX Runtime (it has: {known}). "
        f"Install the build that has it, or use another provider.{explain_distributions()}"
    )


def is_installed(short: str, runtime: ModuleType) -> bool:
    """True if the build of ONNX Runtime or a plugin has the provider; nothing is loaded."""
    if PROVIDERS[short] in runtime.get_available_providers():
        return True
    return importlib.util.find_spec(f"onnxruntime_ep_{short}") is not None


def _short_name(requested: object) -> str:
    if isinstance(requested, str):
        by_own_name = {value: key for key, value in PROVIDERS.items()}
        short = by_own_name.get(requested, requested.lower())
        if short in PROVIDERS or short == "auto":
            return short
    hint = ""
    if isinstance(requested, str):
        # The closest name to "gpu" would be "cpu".
        wanted = "cuda" if requested.casefold() == "gpu" else requested
        hint = did_you_mean(wanted, ("auto", *PROVIDERS))
    raise ProviderError(
        f"provider {shown(requested)} is not known.{hint} Use one of: auto, {', '.join(PROVIDERS)}."
    )


def precisions_for(provider: str) -> tuple[Precision, ...]:
    """Return the variants that a provider may run, best first.

    On a GPU int8 is slower than fp16. OpenVINO has int8 kernels for fixed scales only.
    """
    if provider in _GPU:
        return ("fp16", "fp32")
    if provider == PROVIDERS["openvino"]:
        return ("int8-qdq", "int8", "fp32", "fp16")
    return ("int8", "fp32", "int8-qdq", "fp16")


def provider_options(provider: str, threads: int) -> dict[str, str]:
    """Return a provider's own options: OpenVINO ignores the session's number of threads."""
    if provider == PROVIDERS["openvino"]:
        return {"device_type": "CPU", "num_of_threads": str(threads)}
    return {}


def installed_distributions() -> list[str]:
    """Return the installed distributions of ONNX Runtime, with their versions."""
    found = []
    for name in _DISTRIBUTIONS:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def explain_distributions() -> str:
    """Return a sentence if several distributions share the module, else an empty string."""
    found = installed_distributions()
    if len(found) < 2:
        return ""
    return (
        f" Several distributions of ONNX Runtime are installed ({', '.join(found)}); they "
        "overwrite each other's files. Uninstall all of them, then install one."
    )


def _from_plugin(module_name: str, runtime: ModuleType) -> Provider:
    """Return the provider of a plugin package, registered on first use.

    Plugin packages have ``get_library_path()`` and ``get_ep_names()`` (ONNX Runtime's packaging
    guidance for plugin providers).
    """
    plugin = importlib.import_module(module_name)
    names = plugin.get_ep_names()
    with _registering:
        devices = _devices(runtime, names)
        if not devices:
            try:
                runtime.register_execution_provider_library(module_name, plugin.get_library_path())
            except Exception as error:  # noqa: BLE001  (ONNX Runtime's errors share no public base)
                raise ProviderError(
                    f"the plugin {module_name} can't be registered: {first_line(error)}. Its "
                    "version must fit onnxruntime's: update both."
                ) from None
            devices = _devices(runtime, names)
    if not devices:
        raise ProviderError(
            f"the plugin {module_name} is installed, but has no device on this machine (some "
            "plugins support their vendor's processors only). Use providers='cpu'."
        )
    return Provider(devices[0].ep_name, devices[:1])


def _devices(runtime: ModuleType, names: list[str]) -> tuple[Any, ...]:
    return tuple(device for device in runtime.get_ep_devices() if device.ep_name in names)


def first_line(error: Exception) -> str:
    """Return the first line of another library's error message, of bounded length."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
