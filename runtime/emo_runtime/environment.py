"""Facts about the process: versions, distributions of ONNX Runtime, memory in huge pages."""

import platform
from typing import Any

import numpy as np

from emo_runtime.ort.huge_pages import resident_huge_pages
from emo_runtime.ort.providers import installed_distributions
from emo_runtime.ort.session import load_onnxruntime, telemetry_is_off
from emo_runtime.version import __version__


def describe_process() -> dict[str, Any]:
    """Return versions, ONNX Runtime's distributions and telemetry, and memory as plain values."""
    return {
        "huge_page_bytes": resident_huge_pages(),
        "telemetry_off": telemetry_is_off(),
        "versions": {
            "emo_runtime": __version__,
            "onnxruntime": load_onnxruntime().__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "onnxruntime_distributions": installed_distributions(),
    }
