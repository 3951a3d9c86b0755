"""Small model files for the tests of scoring, built operator by operator.

Put here graphs, sound and unsound. Keep out expectations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper, numpy_helper

from mlops_assets.platform.security.token_keys import key_id_of
from mlops_assets.scoring.records import ENCODING, ModelRecord, file_version
from mlops_assets.scoring.signatures import signed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.scoring.encoding import Encoding

WEIGHTS = (0.5, -1.0)


def linear_graph(
    *,
    nodes: Sequence[onnx.NodeProto] | None = None,
    columns: int = 2,
    outputs: int = 1,
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """A graph that multiplies ``columns`` inputs with weights; or with other nodes in its place."""
    weights = np.resize(np.array(WEIGHTS, dtype=np.float32), (columns, outputs))
    graph = helper.make_graph(
        list(nodes or [helper.make_node("MatMul", ["features", "weights"], ["score"])]),
        "model",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, columns])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, outputs])],
        [numpy_helper.from_array(weights, "weights")],
    )
    imports = [helper.make_opsetid("", 18), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


def record_of(
    model: onnx.ModelProto,
    *,
    feature_names: Sequence[str] = ("a", "b"),
    parameters: Mapping[str, Any] | None = None,
    encoding: Encoding | None = None,
) -> ModelRecord:
    """The honest record of a file."""
    file = model.SerializeToString()
    declared = {} if encoding is None else {ENCODING: encoding.model_dump(mode="json")}
    return ModelRecord(
        name="linear",
        version=file_version(file),
        onnx=file,
        feature_names=tuple(feature_names if encoding is None else encoding.feature_names),
        parameters={**declared, **(parameters or {})},
    )


SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
"""A key of the tests; nothing else ever trusts it."""
TRUSTED = {key_id_of(SIGNER.public_key()): SIGNER.public_key()}


def signed_record_of(model: onnx.ModelProto, **parts: Any) -> ModelRecord:  # noqa: ANN401  those of `record_of`
    """The honest record of a file, signed by :data:`SIGNER`."""
    return signed(record_of(model, **parts), SIGNER)
