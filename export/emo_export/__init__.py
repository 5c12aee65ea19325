"""From a trained checkpoint to a verified bundle: load, check, graph, optimize, quantize, package.

ONNX Runtime comes in through optimum and its own tools here, before emo_runtime can switch its
telemetry off; so the variable is set by this package (see ``emo_runtime.ort.session``).
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
