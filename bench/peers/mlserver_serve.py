"""The model behind MLServer: a runtime of our own, as MLServer has none for ONNX. ``MODEL`` names the ONNX file."""

from __future__ import annotations

import os

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
        """Scores of rows."""
        columns = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        (scores,) = self.session.run(None, columns)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("score", scores)])
