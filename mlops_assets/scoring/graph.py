"""What a model file may contain: plain operators in one graph, the declared inputs, one output, nothing outside it.

Put here checks of an ONNX graph that need no run of it. Keep out running it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import onnx

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.scoring.inputs import Input, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ALLOWED_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Operator sets of the ONNX standard itself; any other would be somebody's own native code."""

ELEMENTS: Final = {
    Kind.TEXT: onnx.TensorProto.STRING,
    Kind.DOUBLE: onnx.TensorProto.DOUBLE,
    Kind.FLOAT: onnx.TensorProto.FLOAT,
    Kind.INT64: onnx.TensorProto.INT64,
    Kind.INT32: onnx.TensorProto.INT32,
    Kind.BOOL: onnx.TensorProto.BOOL,
}
_KINDS: Final[Mapping[int, Kind]] = {element: kind for kind, element in ELEMENTS.items()}
_FLAT: Final = (None,)
_WIDE: Final = (None, 1)
_RANDOM: Final = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
"""Operators of the standard whose output is drawn: equal rows would not get equal scores."""


@dataclass(frozen=True)
class Signature:
    """What a checked file takes and gives.

    Attributes:
        wide: the inputs of shape ``[-1, 1]``; the others have ``[-1]``.
        output: name of the output.
        output_kind: double or float.
    """

    wide: frozenset[str]
    output: str
    output_kind: Kind


def checked_signature(file: bytes, *, source: str, inputs: Mapping[str, Input]) -> Signature:
    """Refuse a model file that is not a plain graph from those columns to one score for each row.

    Args:
        file: the bytes of the ONNX file.
        source: what the file is called in errors.
        inputs: the inputs that it should have, by name.

    Raises:
        ArtifactError: the bytes are no valid ONNX model, use an operator outside :data:`ALLOWED_DOMAINS` or one that
            draws, define functions of their own, refer to data outside the file, or have other inputs, an input of
            another shape than ``[-1]`` or ``[-1, 1]``, or more than one output of floating numbers of such a shape.
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
    if drawn := sorted({node.op_type for node in _nodes(model.graph)} & _RANDOM):
        raise _refused(source, f"it draws numbers: {', '.join(drawn)}.")
    if outside := [tensor.name for tensor in _tensors(model.graph) if _is_outside(tensor)]:
        raise _refused(source, f"{len(outside)} of its tensors lie outside the file.")
    found, outputs = list(model.graph.input), list(model.graph.output)
    expected = {name: column.kind for name, column in inputs.items()}
    if {value.name: _kind(value) for value in found} != expected or not all(_shape(value) for value in found):
        raise _refused(
            source,
            f"its inputs {[_described(i) for i in found]} are not the columns "
            f"{', '.join(f'{name}: {kind}' for name, kind in expected.items())}.",
        )
    kind = _kind(outputs[0]) if len(outputs) == 1 else None
    if kind is None or not kind.is_floating or _shape(outputs[0]) is None:
        raise _refused(source, f"its outputs {[_described(o) for o in outputs]} are not one column of numbers.")
    wide = frozenset(value.name for value in found if _shape(value) == _WIDE)
    return Signature(wide, str(outputs[0].name), kind)


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


def _kind(value: onnx.ValueInfoProto) -> Kind | None:
    """The kind of a tensor; ``None`` for anything else."""
    return _KINDS.get(value.type.tensor_type.elem_type) if value.type.HasField("tensor_type") else None


def _shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...] | None:
    """``(None,)`` or ``(None, 1)``, where ``None`` is a free dimension; ``None`` as a whole for any other shape."""
    dimensions = value.type.tensor_type.shape.dim
    sizes: Sequence[int | None] = [d.dim_value if d.HasField("dim_value") else None for d in dimensions]
    return tuple(sizes) if tuple(sizes) in (_FLAT, _WIDE) else None


def _described(value: onnx.ValueInfoProto) -> str:
    return f"{value.name}: {_kind(value) or 'no column'} {list(_shape(value) or ())}"


def _refused(source: str, culprit: str) -> ArtifactError:
    return ArtifactError(source=source, culprit=culprit, remedy="Do not use it; train the model again and publish it.")
