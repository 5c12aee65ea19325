"""Execution providers by name: which are built in, which come as plugins, which to try."""

import importlib
import importlib.metadata
import importlib.util
import threading
from dataclasses import dataclass
from types import ModuleType
from typing import Any

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
# What "auto" takes where it is installed and attaches, best first.
_PREFERRED = ("cuda", "coreml", "directml")
_GPU = {PROVIDERS["cuda"], PROVIDERS["tensorrt"], PROVIDERS["directml"]}
# Distributions that all bring the one module `onnxruntime`, and overwrite each other's files.
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
    """An execution provider to try; ``devices`` are given where it comes as a plugin."""

    name: str
    devices: tuple[Any, ...] = ()


def choose_providers(requested: str, runtime: ModuleType) -> list[Provider]:
    """The providers to try, in order. Raises ProviderError.

    ``requested`` is "auto", a short name ("cpu", "cuda", "tensorrt", "openvino", "coreml",
    "directml") or ONNX Runtime's own name; ``runtime`` is the onnxruntime module.
    """
    available = runtime.get_available_providers()
    if requested == "auto":
        preferred = [PROVIDERS[name] for name in _PREFERRED if PROVIDERS[name] in available]
        return [Provider(name) for name in [*preferred, CPU]]
    by_own_name = {value: key for key, value in PROVIDERS.items()}
    short = by_own_name.get(requested, requested.lower())
    if short not in PROVIDERS:
        raise ProviderError(
            f"provider {requested!r} is not known. Give one of: auto, {', '.join(PROVIDERS)}."
        )
    if PROVIDERS[short] in available:
        return [Provider(PROVIDERS[short])]
    plugin = f"onnxruntime_ep_{short}"
    if importlib.util.find_spec(plugin) is not None:
        return [_from_plugin(plugin, runtime)]
    known = ", ".join(by_own_name[name] for name in available if name in by_own_name)
    raise ProviderError(
        f"provider {requested!r} is not in this build of ONNX Runtime (it has: {known}). Install "
        f"the build that has it, or ask for another provider.{explain_distributions()}"
    )


def precisions_for(provider: str) -> tuple[Precision, ...]:
    """The variants that a provider may run, best first.

    int8 is slower than fp16 on a GPU; OpenVINO has int8 kernels for fixed scales only.
    """
    if provider in _GPU:
        return ("fp16", "fp32")
    if provider == PROVIDERS["openvino"]:
        return ("int8-qdq", "int8", "fp32", "fp16")
    return ("int8", "fp32", "int8-qdq", "fp16")


def provider_options(provider: str, threads: int) -> dict[str, str]:
    """What a provider must be told itself: OpenVINO does not look at the session's threads."""
    if provider == PROVIDERS["openvino"]:
        return {"device_type": "CPU", "num_of_threads": str(threads)}
    return {}


def installed_distributions() -> list[str]:
    """The installed distributions of ONNX Runtime, with their versions."""
    found = []
    for name in _DISTRIBUTIONS:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def explain_distributions() -> str:
    """A sentence where several distributions share the module, else nothing."""
    found = installed_distributions()
    if len(found) < 2:
        return ""
    return (
        f" Several distributions of ONNX Runtime are installed ({', '.join(found)}); they "
        "overwrite each other's files: uninstall all of them, then install the one you want."
    )


def _from_plugin(module_name: str, runtime: ModuleType) -> Provider:
    """The provider of a plugin package, registered on first use.

    Such packages name their library by ``get_library_path()`` and their providers by
    ``get_ep_names()`` (ONNX Runtime's packaging guidance for plugin providers).
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
                    "version and onnxruntime's must fit: update both."
                ) from None
            devices = _devices(runtime, names)
    if not devices:
        raise ProviderError(
            f"the plugin {module_name} is installed, but offers no device on this machine (some "
            "offer themselves on their vendor's processors only). Ask for providers='cpu'."
        )
    return Provider(devices[0].ep_name, devices[:1])


def _devices(runtime: ModuleType, names: list[str]) -> tuple[Any, ...]:
    return tuple(device for device in runtime.get_ep_devices() if device.ep_name in names)


def first_line(error: Exception) -> str:
    """The first line of a foreign error's message, of bounded length."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
