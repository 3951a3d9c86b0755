"""The file of a model: from raw columns to the score, as one ONNX graph of plain operators.

Put here how encoding, trained model and score are put together. Keep out fitting, and the check of what was made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import TensorProto, compose, helper

from mlops_assets.modeling.encoding_graph import OPSETS, EncodingGraph

if TYPE_CHECKING:
    import onnx

    from mlops_assets.modeling.fitting import Fitted

_MODEL = "model/"
_FEATURES = "features"


def model_file(fitted: Fitted) -> bytes:
    """The ONNX file: the encoding's inputs, one output in doubles, no trace of when or by which version it was written.

    Between encoding and score the trained model computes in single precision.
    """
    graph = EncodingGraph(fitted.encoding)
    trained = _converted(fitted)
    features = graph.add("Cast", graph.matrix(), to=TensorProto.FLOAT)
    graph.nodes.append(helper.make_node("Identity", [features], [_MODEL + _FEATURES]))
    graph.nodes.extend(trained.graph.node)
    graph.constants.extend(trained.graph.initializer)
    output = trained.graph.output[-1].name
    if hasattr(fitted.estimator, "predict_proba"):
        output = graph.add("Gather", output, graph.constant([1], int), axis=1)
    output = graph.add("Reshape", output, graph.constant([1, -1], int))
    score = graph.score(graph.add("Cast", output, to=TensorProto.DOUBLE))
    name = _free("score", fitted.encoding.columns)
    graph.nodes.append(helper.make_node("Reshape", [score, graph.constant([-1], int)], [name]))
    made = helper.make_graph(
        graph.nodes,
        "model",
        graph.inputs(),
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None])],
        graph.constants,
    )
    opsets = [helper.make_opsetid(*opset) for opset in OPSETS.items()]
    model = helper.make_model(made, opset_imports=opsets, ir_version=trained.ir_version)
    file: bytes = model.SerializeToString(deterministic=True)
    return file


def _converted(fitted: Fitted) -> onnx.ModelProto:
    """The estimator alone, from a matrix in single precision; a classifier's last output are the probabilities."""
    from skl2onnx import to_onnx  # noqa: PLC0415  takes as long to import as what it converts
    from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415

    classifies = hasattr(fitted.estimator, "predict_proba")
    model = to_onnx(
        fitted.estimator,
        initial_types=[(_FEATURES, FloatTensorType([None, len(fitted.encoding.feature_names)]))],
        options={id(fitted.estimator): {"zipmap": False}} if classifies else None,
        target_opset=dict(OPSETS),
        name="model",
    )
    return compose.add_prefix(model, _MODEL)


def _free(name: str, taken: tuple[str, ...]) -> str:
    """The name, or one like it where a column has it."""
    while name in taken:
        name += "_"
    return name
