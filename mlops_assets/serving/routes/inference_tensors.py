"""Tensors of the Open Inference Protocol as the columns that a model reads, in JSON and in binary.

Put here reading them, and refusals of other names, datatypes, shapes and sizes. Keep out what values a column takes
(`mlops_assets.scoring.feeds`) and the messages themselves (``inference_protocol``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mlops_assets.scoring.inputs import Input, Kind
from mlops_assets.serving.routes.inference_protocol import BINARY, DATATYPES, TensorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.scoring.feeds import Tensor
    from mlops_assets.serving.routes.inference_protocol import InferenceRequest, InputTensor

_LENGTH_BYTES: Final = 4
"""Bytes of the length in front of each text of a binary tensor, least first."""
_FALSE_OR_TRUE: Final = 1


def rows_of(request: InferenceRequest) -> int:
    """How many rows the longest input is said to have."""
    return max(int(tensor.shape[0]) for tensor in request.inputs)


def input_tensors(request: InferenceRequest, binary: memoryview, wanted: Mapping[str, Input]) -> dict[str, Tensor]:
    """The inputs of a request, each of one dimension.

    Args:
        request: the JSON part.
        binary: the binary tensors behind it, in the order of the inputs.
        wanted: the inputs of the model by name.

    Raises:
        TensorError: other inputs, datatypes, shapes or numbers of values than the model takes, or bytes are left over.
        FeatureError: a value of JSON is not of its input's datatype, or not one that it takes.
    """
    from mlops_assets.scoring.feeds import tensor_of_values  # noqa: PLC0415  a service without models needs no numpy

    named = [tensor.name for tensor in request.inputs]
    missing, unknown = sorted(wanted.keys() - named), len(set(named) - wanted.keys())
    if missing or unknown or len(set(named)) != len(named):
        raise TensorError(
            f"The inputs do not fit the model (missing: {', '.join(missing) or 'none'}; {unknown} unknown; "
            f"{len(named) - len(set(named))} repeated). It has these: {', '.join(wanted)}."
        )
    found: dict[str, Tensor] = {}
    begin = 0
    for tensor in request.inputs:
        column = wanted[tensor.name]
        if tensor.datatype != DATATYPES[column.kind]:
            raise TensorError(f"The datatype of {column.name} is {DATATYPES[column.kind]}.")
        rows = _rows(tensor, column.name)
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            found[column.name] = tensor_of_values(column, _from_json(tensor, column, rows))
            continue
        if tensor.data is not None or type(size) is not int or not 0 <= size <= len(binary) - begin:
            raise TensorError(
                f"{column.name} needs either data, or as binary_data_size how many of the {len(binary) - begin} bytes "
                "left behind the JSON are its own."
            )
        found[column.name] = _from_binary(binary[begin : begin + size], column, rows)
        begin += size
    if begin != len(binary):
        raise TensorError(f"{len(binary) - begin} bytes behind the JSON belong to no input.")
    return found


def _rows(tensor: InputTensor, name: str) -> int:
    shape = [int(size) for size in tensor.shape]
    if shape[1:] not in ([], [1]):
        raise TensorError(f"The shape of {name} is [-1] or [-1, 1]; the request says {shape}.")
    return shape[0]


def _from_json(tensor: InputTensor, column: Input, rows: int) -> list[Any]:
    if tensor.data is None:
        raise TensorError(f"{column.name} has neither data nor binary_data_size.")
    if len(tensor.data) != rows:
        raise TensorError(f"The shape of {column.name} takes {rows} values; there are {len(tensor.data)}.")
    values = tensor.data
    if len(tensor.shape) > 1 and all(isinstance(value, list) and len(value) == 1 for value in values):
        return [value[0] for value in values if isinstance(value, list)]
    return values


def _from_binary(part: memoryview, column: Input, rows: int) -> Tensor:
    import numpy as np  # noqa: PLC0415  a service without models needs no numpy

    if column.kind is Kind.TEXT:
        return np.array(_texts(part, column.name, rows), dtype=object)
    kind = np.dtype(BINARY[column.kind])
    if len(part) != rows * kind.itemsize:
        raise TensorError(
            f"The shape of {column.name} takes {rows * kind.itemsize} bytes; its binary_data_size is {len(part)}."
        )
    # Copied, as the JSON in front may end anywhere: native code may count on numbers at multiples of their size.
    numbers = np.frombuffer(part, dtype=kind).copy()
    if column.kind is not Kind.BOOL:
        return numbers
    if len(numbers) and numbers.max() > _FALSE_OR_TRUE:
        raise TensorError(f"A byte of {column.name} is neither 0 nor 1.")
    return numbers.astype(np.bool_)


def _texts(part: memoryview, name: str, rows: int) -> list[str]:
    """The texts of a binary tensor: the length of each in bytes, then the bytes."""
    found: list[str] = []
    begin = 0
    while begin < len(part) and len(found) < rows:
        end = begin + _LENGTH_BYTES
        length = int.from_bytes(part[begin:end], "little")
        if end + length > len(part):
            break
        try:
            found.append(str(part[end : end + length], "utf-8"))
        except UnicodeDecodeError:
            raise TensorError(f"A text of {name} is no UTF-8.") from None
        begin = end + length
    if begin != len(part) or len(found) != rows:
        raise TensorError(f"The bytes of {name} are not {rows} texts with the length of each in front.")
    return found
