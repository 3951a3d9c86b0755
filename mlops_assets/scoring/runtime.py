"""The ONNX runtime, told to report nothing to its maker before it is loaded, and sessions of it that compute alike.

Put here what must be settled before the runtime's native code runs, and how it runs. Keep out models.

From 1.32 on the runtime opens a store of events in the user's cache folder at its import, beside a lasting id of the
machine, for a collector whose address it carries. The function that turns this off can only be called after that
import, so the variable comes first; the function serves versions that do not know the variable.
"""

from __future__ import annotations

import os
from typing import Final

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

onnxruntime.disable_telemetry_events()

_ONLY_ERRORS: Final = 3

__all__ = ["onnxruntime", "session_of"]


def session_of(file: bytes) -> onnxruntime.InferenceSession:
    """A session on one thread, in order: neither load nor the number of cores may change the last bit of a sum."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.use_deterministic_compute = True
    options.log_severity_level = _ONLY_ERRORS
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
