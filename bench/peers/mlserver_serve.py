"""The model behind MLServer: a runtime of our own, as MLServer has none for ONNX. ``MODEL`` names the ONNX file."""

from __future__ import annotations

import os

import numpy as np
import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Turnout(MLModel):
    """The runtime."""

    async def load(self) -> bool:
        """Load the file."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Scores of encoded rows."""
        matrix = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        (output,) = self.session.run(None, {"features": matrix})
        scores = np.ascontiguousarray(output[:, -1])
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("score", scores)])
