"""The ONNX runtime, told to report nothing to its maker before it is loaded.

Put here what must be settled before the runtime's native code runs. Keep out models and sessions.

From 1.32 on the runtime opens a store of events in the user's cache folder at its import, beside a lasting id of the
machine, for a collector whose address it carries. The function that turns this off can only be called after that
import, so the variable comes first; the function serves versions that do not know the variable.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

onnxruntime.disable_telemetry_events()

__all__ = ["onnxruntime"]
