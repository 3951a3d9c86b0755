"""Small model files for the tests of scoring, built operator by operator.

Put here graphs, sound and unsound. Keep out expectations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import helper, numpy_helper

from mlops_assets.modeling.encoding_graph import OPSETS, EncodingGraph
from mlops_assets.platform.security.token_keys import key_id_of
from mlops_assets.scoring.graph import ELEMENTS
from mlops_assets.scoring.inputs import Input, Kind
from mlops_assets.scoring.records import ModelRecord, file_version
from mlops_assets.scoring.signatures import signed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.modeling.encoding import Encoding

WEIGHTS = (0.5, -1.0)
COLUMNS = tuple(Input(name=name, kind=Kind.DOUBLE, example=1.0) for name in ("a", "b"))


def linear_graph(
    *,
    nodes: Sequence[onnx.NodeProto] | None = None,
    columns: Sequence[str] = ("a", "b"),
    kind: Kind = Kind.DOUBLE,
    shape: Sequence[int | None] = (None,),
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """A graph of the sum of the columns, each times a weight; or with other nodes in its place."""
    weights = np.resize(np.array(WEIGHTS, dtype=np.float32 if kind is Kind.FLOAT else np.float64), len(columns))
    weighted = [
        helper.make_node("Mul", [name, f"weights/{place}"], [f"weighted/{place}"]) for place, name in enumerate(columns)
    ]
    total = helper.make_node("Sum", [f"weighted/{place}" for place in range(len(columns))], ["score"])
    graph = helper.make_graph(
        list(nodes or [*weighted, total]),
        "model",
        [helper.make_tensor_value_info(name, ELEMENTS[kind], shape) for name in columns],
        [helper.make_tensor_value_info("score", ELEMENTS[kind], shape)],
        [numpy_helper.from_array(weight, f"weights/{place}") for place, weight in enumerate(weights)],
    )
    imports = [helper.make_opsetid("", 18), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


def encoded_graph(encoding: Encoding) -> onnx.ModelProto:
    """A graph that encodes raw columns, multiplies the features with weights, and scores as the encoding says."""
    graph = EncodingGraph(encoding)
    weights = graph.constant(np.resize(WEIGHTS, (len(encoding.feature_names), 1)))
    output = graph.add("MatMul", graph.matrix(), weights)
    score = graph.score(graph.add("Reshape", output, graph.constant([1, -1], int)))
    graph.nodes.append(helper.make_node("Reshape", [score, graph.constant([-1], int)], ["score"]))
    outputs = [helper.make_tensor_value_info("score", onnx.TensorProto.DOUBLE, [None])]
    made = helper.make_graph(graph.nodes, "model", graph.inputs(), outputs, graph.constants)
    return helper.make_model(
        made, opset_imports=[helper.make_opsetid(*opset) for opset in OPSETS.items()], ir_version=9
    )


def record_of(
    model: onnx.ModelProto, *, inputs: Sequence[Input] = COLUMNS, parameters: Mapping[str, Any] | None = None
) -> ModelRecord:
    """The honest record of a file."""
    file = model.SerializeToString()
    return ModelRecord(
        name="linear", version=file_version(file), onnx=file, inputs=tuple(inputs), parameters=parameters or {}
    )


def encoded_record(encoding: Encoding) -> ModelRecord:
    """The honest record of a file with that encoding."""
    return record_of(encoded_graph(encoding), inputs=encoding.inputs)


SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
"""A key of the tests; nothing else ever trusts it."""
TRUSTED = {key_id_of(SIGNER.public_key()): SIGNER.public_key()}


def signed_record_of(model: onnx.ModelProto, **parts: Any) -> ModelRecord:  # noqa: ANN401  those of `record_of`
    """The honest record of a file, signed by :data:`SIGNER`."""
    return signed(record_of(model, **parts), SIGNER)
