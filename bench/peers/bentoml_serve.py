"""The model behind BentoML: one API with a list of rows, no access log. ``MODEL`` names the ONNX file."""

from __future__ import annotations

import os

import bentoml
import numpy as np
import onnxruntime as ort


@bentoml.service(name="turnout", workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Turnout:
    """The service."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    @bentoml.api
    async def infer(self, features: list[list[float]]) -> list[float]:
        """Scores of encoded rows, on the event loop: a thread would take longer than the model."""
        (output,) = self.session.run(None, {"features": np.asarray(features, dtype=np.float32)})
        scores: list[float] = output[:, -1].tolist()
        return scores
