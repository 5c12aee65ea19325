"""From a trained checkpoint to a verified bundle: load, check, graph, optimize, quantize, package.

optimum and ONNX Runtime's tools import onnxruntime before emo_runtime can switch its telemetry off.
Therefore this package sets the environment variable (see ``emo_runtime.ort.session``).
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
