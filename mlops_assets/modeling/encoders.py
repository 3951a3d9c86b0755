"""Encoding in training: the operators that go into the model's file, run without the model between them.

Put here running an encoding on tables. Keep out its operators (``encoding_graph``).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import numpy as np
from onnx import TensorProto, helper

from mlops_assets.modeling.encoding import Encoding
from mlops_assets.modeling.encoding_graph import OPSETS, EncodingGraph
from mlops_assets.scoring.feeds import feed_of_table
from mlops_assets.scoring.runtime import onnxruntime, session_of
from mlops_assets.scoring.scorer import ROWS_AT_A_TIME

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa
    from onnx import ValueInfoProto

    Numbers = npt.NDArray[np.float64]

_IR_VERSION: Final = 9
_KEPT_SESSIONS: Final = 32
_OUTPUT: Final = "encoding/output"


def matrix(encoding: Encoding, table: pa.Table) -> Numbers:
    """Encode raw rows.

    Args:
        encoding: the declaration.
        table: exactly its columns, in any order; numbers may be null, not NaN or infinite.

    Returns:
        One row per row of the table, one column per feature, float64.

    Raises:
        FeatureError: columns are missing or unknown, or hold something else than declared.
    """
    session = _matrix_session(encoding.model_dump_json())
    encoded = np.empty((table.num_rows, len(encoding.feature_names)))
    for start in range(0, table.num_rows, ROWS_AT_A_TIME):
        part = feed_of_table(encoding.inputs, table.slice(start, ROWS_AT_A_TIME))
        (encoded[start : start + ROWS_AT_A_TIME],) = session.run(None, part)
    return encoded


def anchors(encoding: Encoding, table: pa.Table) -> Numbers | None:
    """The anchor of each row, or ``None`` where the encoding declares none.

    Raises:
        FeatureError: as :func:`matrix`.
    """
    if encoding.anchor is None:
        return None
    (found,) = _anchor_session(encoding.model_dump_json()).run(None, feed_of_table(encoding.inputs, table))
    return np.asarray(found).reshape(-1)


def score(encoding: Encoding, table: pa.Table, output: Numbers) -> Numbers:
    """The score of raw rows for which the model gave that output.

    Args:
        encoding: the declaration.
        table: as :func:`matrix` takes it.
        output: one number per row.

    Returns:
        One number per row: the output taken from its anchor, if there is one, and within the limits.

    Raises:
        FeatureError: as :func:`matrix`.
    """
    if encoding.anchor is None and encoding.limits is None:
        return output
    feed = {**feed_of_table(encoding.inputs, table), _OUTPUT: output.reshape(1, -1)}
    (found,) = _score_session(encoding.model_dump_json()).run(None, feed)
    return np.asarray(found).reshape(-1)


@functools.lru_cache(maxsize=_KEPT_SESSIONS)
def _matrix_session(declared: str) -> onnxruntime.InferenceSession:
    graph = EncodingGraph(Encoding.model_validate_json(declared))
    return _session(graph, graph.matrix())


@functools.lru_cache(maxsize=_KEPT_SESSIONS)
def _anchor_session(declared: str) -> onnxruntime.InferenceSession:
    graph = EncodingGraph(Encoding.model_validate_json(declared))
    found = graph.anchors()
    assert found is not None  # noqa: S101  asked for only where there is an anchor
    return _session(graph, found)


@functools.lru_cache(maxsize=_KEPT_SESSIONS)
def _score_session(declared: str) -> onnxruntime.InferenceSession:
    graph = EncodingGraph(Encoding.model_validate_json(declared))
    output = helper.make_tensor_value_info(_OUTPUT, TensorProto.DOUBLE, [1, None])
    return _session(graph, graph.score(_OUTPUT), output)


def _session(graph: EncodingGraph, result: str, *further: ValueInfoProto) -> onnxruntime.InferenceSession:
    outputs = [helper.make_tensor_value_info(result, TensorProto.DOUBLE, [None, None])]
    made = helper.make_graph(graph.nodes, "encoding", [*graph.inputs(), *further], outputs, graph.constants)
    opsets = [helper.make_opsetid(*opset) for opset in OPSETS.items()]
    model = helper.make_model(made, opset_imports=opsets, ir_version=_IR_VERSION)
    return session_of(model.SerializeToString())
