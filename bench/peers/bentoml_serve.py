"""The model behind BentoML: one API with the columns of the rows, no access log. ``MODEL`` names the ONNX file."""

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
    async def infer(self, columns: dict[str, list[float]]) -> list[float]:
        """Scores of rows, on the event loop: a thread would take longer than the model."""
        (output,) = self.session.run(None, {name: np.asarray(values) for name, values in columns.items()})
        scores: list[float] = output.tolist()
        return scores
