"""The Open Inference Protocol v2: its messages, in JSON and with binary tensors.

Put here how a request becomes a matrix and scores become an answer. Keep out HTTP, models and access.

Sources: the REST specification (https://github.com/kserve/open-inference-protocol) and Triton's extension for binary
tensors (https://github.com/triton-inference-server/server, docs/protocol/extension_binary_data.md).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mlops_assets.serving.exports.models import LoadedModel

INPUT: Final = "features"
OUTPUT: Final = "score"
DATATYPE: Final = "FP32"
BINARY_HEADER: Final = "Inference-Header-Content-Length"
PLATFORM: Final = "onnxruntime_onnx"
_BYTES: Final = 4
_MOST_ROWS: Final = 1_000_000
_MATRIX_RANK: Final = 2

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
    """A model: its versions, input and output."""

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
    """The rows to score: the model's encoded features, row after row, flat or nested."""

    name: Annotated[str, msgspec.Meta(max_length=100)]
    # In JSON Schema 3.0 is a whole number too.
    shape: Annotated[
        list[Annotated[float, msgspec.Meta(ge=0, le=_MOST_ROWS, multiple_of=1)]],
        msgspec.Meta(min_length=1, max_length=8),
    ]
    datatype: Annotated[str, msgspec.Meta(max_length=20)]
    data: list[float | list[float]] | None = None
    parameters: dict[str, Any] = {}


class RequestedOutput(msgspec.Struct, frozen=True):
    """An output that is wanted."""

    name: Annotated[str, msgspec.Meta(max_length=100)]
    parameters: dict[str, Any] = {}


class InferenceRequest(msgspec.Struct, frozen=True):
    """A request to score rows."""

    inputs: Annotated[list[InputTensor], msgspec.Meta(min_length=1, max_length=16)]
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
    return ModelMetadata(
        name=latest.name,
        versions=[model.version for model in versions],
        platform=PLATFORM,
        inputs=[TensorDescription(INPUT, DATATYPE, [-1, len(latest.scorer.record.feature_names)])],
        outputs=[TensorDescription(OUTPUT, DATATYPE, [-1])],
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


def input_matrix(request: InferenceRequest, binary: memoryview, *, columns: int) -> npt.NDArray[np.floating]:
    """The rows of a request: one row per row, one column per feature of the model.

    Args:
        request: the JSON part.
        binary: the binary tensors behind it.
        columns: how many features the model has.

    Raises:
        TensorError: another input, datatype, shape or number of values than the model takes, or bytes are left over.
    """
    import numpy as np  # noqa: PLC0415  a service without models needs no numpy

    if len(request.inputs) != 1 or request.inputs[0].name != INPUT:
        raise TensorError(f"The model has one input, {INPUT}.")
    (tensor,) = request.inputs
    if tensor.datatype != DATATYPE:
        raise TensorError(f"The input's datatype is {DATATYPE}.")
    shape = [int(size) for size in tensor.shape]
    if len(shape) != _MATRIX_RANK or shape[1] != columns:
        raise TensorError(f"The input's shape is [-1, {columns}]; the request says {shape}.")
    count = math.prod(shape)
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        if len(binary):
            raise TensorError("There are bytes behind the JSON that belong to no input.")
        return _from_json(tensor, shape)
    if tensor.data is not None or not isinstance(size, int) or isinstance(size, bool):
        raise TensorError("An input has either data or a whole number as binary_data_size.")
    if size != count * _BYTES or len(binary) != size:
        raise TensorError(
            f"The shape {shape} takes {count * _BYTES} bytes; binary_data_size is {size} and {len(binary)} came."
        )
    # Copied, as the JSON in front may end anywhere: native code may count on numbers at multiples of their size.
    return np.frombuffer(binary, dtype="<f4").copy().reshape(shape)


def response_body(
    model: LoadedModel, request: InferenceRequest, scores: npt.NDArray[np.float64]
) -> tuple[bytes, int | None]:
    """The body of the answer, and the length of its JSON part when scores follow it as binary.

    Raises:
        TensorError: an output is wanted that the model does not have.
    """
    if any(output.name != OUTPUT for output in request.outputs):
        raise TensorError(f"The model has one output, {OUTPUT}.")
    # What is said of an output counts more than what is said of the request.
    wanted = [output.parameters.get("binary_data") for output in request.outputs]
    asked = next((value for value in wanted if value is not None), request.parameters.get("binary_data_output"))
    single = scores.astype("<f4")
    tail = single.tobytes() if asked is True else None
    tensor = OutputTensor(
        name=OUTPUT,
        datatype=DATATYPE,
        shape=[len(scores)],
        data=None if tail is not None else single.tolist(),
        parameters={} if tail is None else {"binary_data_size": len(tail)},
    )
    head = msgspec.json.encode(
        InferenceResponse(model_name=model.name, model_version=model.version, outputs=[tensor], id=request.id)
    )
    return (head, None) if tail is None else (head + tail, len(head))


def _from_json(tensor: InputTensor, shape: list[int]) -> npt.NDArray[np.floating]:
    import numpy as np  # noqa: PLC0415  a service without models needs no numpy

    if tensor.data is None:
        raise TensorError("The input has neither data nor binary_data_size.")
    try:
        values = np.asarray(tensor.data, dtype=np.float64)
    except (ValueError, TypeError):
        raise TensorError("The rows of the input's data differ in length.") from None
    if values.size != math.prod(shape) or (values.ndim == _MATRIX_RANK and list(values.shape) != shape):
        raise TensorError(f"The shape {shape} takes {math.prod(shape)} values; the data are {list(values.shape)}.")
    return values.reshape(shape)
