"""The Open Inference Protocol v2: its messages, in JSON and with binary tensors.

Put here the messages, and how scores become an answer. Keep out how tensors are read (``inference_tensors``), HTTP,
models and access.

Sources: the REST specification (https://github.com/kserve/open-inference-protocol) and Triton's extension for binary
tensors (https://github.com/triton-inference-server/server, docs/protocol/extension_binary_data.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from mlops_assets.scoring.inputs import Kind, Value

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mlops_assets.serving.exports.models import LoadedModel

BINARY_HEADER: Final = "Inference-Header-Content-Length"
PLATFORM: Final = "onnxruntime_onnx"
DATATYPES: Final = {
    Kind.TEXT: "BYTES",
    Kind.DOUBLE: "FP64",
    Kind.FLOAT: "FP32",
    Kind.INT64: "INT64",
    Kind.INT32: "INT32",
    Kind.BOOL: "BOOL",
}
"""What the protocol calls the kinds of columns."""
BINARY: Final = {Kind.DOUBLE: "<f8", Kind.FLOAT: "<f4", Kind.INT64: "<i8", Kind.INT32: "<i4", Kind.BOOL: "u1"}
"""How each kind but text lies in a binary tensor."""
_MOST_ROWS: Final = 1_000_000
_MOST_INPUTS: Final = 1024

Sizes = list[Annotated[int, msgspec.Meta(ge=-1)]]


class TensorDescription(msgspec.Struct, frozen=True):
    """Name, type and shape of an input or output; -1 is any size."""

    name: str
    datatype: str
    shape: Sizes


class ServerMetadata(msgspec.Struct, frozen=True):
    """The server and the extensions of the protocol that it speaks."""

    name: str
    version: str
    extensions: list[str]


class ModelMetadata(msgspec.Struct, frozen=True):
    """A model: its versions, inputs and output."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorDescription]
    outputs: list[TensorDescription]


class ServerLive(msgspec.Struct, frozen=True):
    """Whether the process answers."""

    live: bool


class ServerReady(msgspec.Struct, frozen=True):
    """Whether the service can answer."""

    ready: bool


class ModelReady(msgspec.Struct, frozen=True):
    """Whether a model can be scored with."""

    name: str
    ready: bool


class InputTensor(msgspec.Struct, frozen=True):
    """One column of the rows to score, or the flags of its nulls; null in ``data`` where the column has NaN for it."""

    name: Annotated[str, msgspec.Meta(max_length=200)]
    # In JSON Schema 3.0 is a whole number too.
    shape: Annotated[
        list[Annotated[float, msgspec.Meta(ge=0, le=_MOST_ROWS, multiple_of=1)]],
        msgspec.Meta(min_length=1, max_length=8),
    ]
    datatype: Annotated[str, msgspec.Meta(max_length=20)]
    data: list[Value | list[Value]] | None = None
    parameters: dict[str, Any] = {}


class RequestedOutput(msgspec.Struct, frozen=True):
    """An output that is wanted."""

    name: Annotated[str, msgspec.Meta(max_length=200)]
    parameters: dict[str, Any] = {}


class InferenceRequest(msgspec.Struct, frozen=True):
    """A request to score rows."""

    inputs: Annotated[list[InputTensor], msgspec.Meta(min_length=1, max_length=_MOST_INPUTS)]
    outputs: Annotated[list[RequestedOutput], msgspec.Meta(max_length=16)] = []
    id: Annotated[str, msgspec.Meta(max_length=200)] = ""
    parameters: dict[str, Any] = {}


class OutputTensor(msgspec.Struct, frozen=True, omit_defaults=True):
    """The scores, one for each row."""

    name: str
    datatype: str
    shape: Sizes
    data: list[float] | None = None
    parameters: dict[str, int] = {}


class InferenceResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a request to score rows."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str = ""


class TensorError(ValueError):
    """A request does not fit the model; the text says why, and is fit for the client."""


def model_metadata(versions: tuple[LoadedModel, ...]) -> ModelMetadata:
    """The description of a model with these versions, oldest first; shapes are those of the last one."""
    latest = versions[-1]
    signature = latest.scorer.signature
    return ModelMetadata(
        name=latest.name,
        versions=[model.version for model in versions],
        platform=PLATFORM,
        inputs=[
            TensorDescription(name, DATATYPES[column.kind], [-1, 1] if name in signature.wide else [-1])
            for name, column in latest.scorer.tensors.items()
        ],
        outputs=[TensorDescription(signature.output, DATATYPES[signature.output_kind], [-1])],
    )


def split_body(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    """The JSON part of a body and the binary tensors behind it.

    Args:
        body: the whole body.
        header_length: value of the header that says how long the JSON part is; ``None`` when all of it is JSON.

    Raises:
        TensorError: the header is no length, or longer than the body.
    """
    if header_length is None:
        return body, memoryview(b"")
    # A longer text could not be a length of a body, and takes long to read as a number.
    if not (header_length.isascii() and header_length.isdecimal() and len(header_length) < 10):  # noqa: PLR2004
        raise TensorError(f"{BINARY_HEADER} is no number of bytes.")
    length = int(header_length)
    if length > len(body):
        raise TensorError(f"{BINARY_HEADER} is longer than the body.")
    return body[:length], memoryview(body)[length:]


def response_body(
    model: LoadedModel, request: InferenceRequest, scores: npt.NDArray[np.float64]
) -> tuple[bytes, int | None]:
    """The body of the answer, and the length of its JSON part when scores follow it as binary.

    Raises:
        TensorError: an output is wanted that the model does not have.
    """
    signature = model.scorer.signature
    if any(output.name != signature.output for output in request.outputs):
        raise TensorError(f"The model has one output, {signature.output}.")
    # What is said of an output counts more than what is said of the request.
    wanted = [output.parameters.get("binary_data") for output in request.outputs]
    asked = next((value for value in wanted if value is not None), request.parameters.get("binary_data_output"))
    given = scores.astype(BINARY[signature.output_kind])
    tail = given.tobytes() if asked is True else None
    tensor = OutputTensor(
        name=signature.output,
        datatype=DATATYPES[signature.output_kind],
        shape=[len(scores)],
        data=None if tail is not None else given.tolist(),
        parameters={} if tail is None else {"binary_data_size": len(tail)},
    )
    head = msgspec.json.encode(
        InferenceResponse(model_name=model.name, model_version=model.version, outputs=[tensor], id=request.id)
    )
    return (head, None) if tail is None else (head + tail, len(head))
