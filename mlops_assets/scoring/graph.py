"""What a model file may contain: plain operators in one graph, one input and one output, everything inside the file.

Put here checks of an ONNX graph that need no run of it. Keep out running it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import onnx

from mlops_assets.platform.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ALLOWED_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Operator sets of the ONNX standard itself; any other would be somebody's own native code."""

_MATRIX_RANK: Final = 2
_OUTPUT_WIDTHS: Final = (1, 2)


def checked_output(file: bytes, *, source: str, features: int) -> str:
    """Refuse a model file that is not a plain graph from ``features`` float32 columns to one score.

    Args:
        file: the bytes of the ONNX file.
        source: what the file is called in errors.
        features: number of the model's input columns.

    Returns:
        The name of the output: float32, one row per row, one column (the score) or two (class probabilities).

    Raises:
        ArtifactError: the bytes are no valid ONNX model, use an operator outside :data:`ALLOWED_DOMAINS`, define
            functions of their own, refer to data outside the file, or have other inputs or outputs.
    """
    try:
        model = onnx.load_model_from_string(file)
        onnx.checker.check_model(model)
    except Exception as error:  # noqa: BLE001 - protobuf and the checker raise types of several libraries
        raise _refused(source, f"it is no valid ONNX model ({type(error).__name__}).") from None
    if len(model.functions):
        raise _refused(source, f"it defines {len(model.functions)} functions of its own.")
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in _nodes(model.graph) if _is_foreign(node)})
    foreign += sorted({entry.domain for entry in model.opset_import if entry.domain not in ALLOWED_DOMAINS})
    if foreign:
        raise _refused(source, f"it uses operators outside the ONNX standard: {', '.join(foreign)}.")
    if outside := [tensor.name for tensor in _tensors(model.graph) if _is_outside(tensor)]:
        raise _refused(source, f"{len(outside)} of its tensors lie outside the file.")
    inputs, outputs = list(model.graph.input), list(model.graph.output)
    if len(inputs) != 1 or _shape(inputs[0]) != (None, features):
        raise _refused(
            source, f"its inputs {[_described(i) for i in inputs]} are not one float matrix of {features} columns."
        )
    if len(outputs) != 1 or _shape(outputs[0]) not in [(None, width) for width in _OUTPUT_WIDTHS]:
        raise _refused(
            source, f"its outputs {[_described(o) for o in outputs]} are not one float matrix of 1 or 2 columns."
        )
    return str(outputs[0].name)


def _is_foreign(node: onnx.NodeProto) -> bool:
    return node.domain not in ALLOWED_DOMAINS


def _is_outside(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _nodes(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(inner)


def _shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...] | None:
    """Sizes of a float32 tensor, ``None`` for a free dimension; ``None`` as a whole for anything else."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or kind.elem_type != onnx.TensorProto.FLOAT:
        return None
    sizes: Sequence[int | None] = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
    return tuple(sizes) if len(sizes) == _MATRIX_RANK else None


def _described(value: onnx.ValueInfoProto) -> str:
    return f"{value.name}: {_shape(value) or 'no float matrix'}"


def _refused(source: str, culprit: str) -> ArtifactError:
    return ArtifactError(source=source, culprit=culprit, remedy="Do not use it; train the model again and publish it.")
