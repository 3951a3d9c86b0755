"""A plain FastAPI application around the model: what somebody writes who needs an endpoint and nothing else.

The message is that of the Open Inference Protocol, validated by pydantic. ``MODEL`` names the ONNX file.
"""

from __future__ import annotations

import os

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI
from pydantic import BaseModel

options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


class Tensor(BaseModel):
    """An input or output."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class InferenceRequest(BaseModel):
    """A request to score rows."""

    inputs: list[Tensor]


class InferenceResponse(BaseModel):
    """Its answer."""

    model_name: str
    outputs: list[Tensor]


@app.post("/v2/models/{name}/infer")
async def infer(name: str, request: InferenceRequest) -> InferenceResponse:
    """Scores of rows, on the event loop: a thread would take longer than the model."""
    columns = {tensor.name: np.asarray(tensor.data, dtype=np.float64) for tensor in request.inputs}
    (output,) = session.run(None, columns)
    scores = output.tolist()
    return InferenceResponse(
        model_name=name, outputs=[Tensor(name="score", datatype="FP64", shape=[len(scores)], data=scores)]
    )
