"""Loading verified model files and scoring with them."""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper

from mlops_assets.modeling.encoding import Encoding
from mlops_assets.modeling.terms import Anchor, Number
from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.security.signatures import SignatureError
from mlops_assets.scoring.inputs import FeatureError, Input, Kind, Null
from mlops_assets.scoring.records import ModelRecord, file_version
from mlops_assets.scoring.scorer import ROWS_AT_A_TIME, load, load_unsigned
from mlops_assets.scoring.signatures import signed
from mlops_assets_tests.scoring.models import (
    COLUMNS,
    SIGNER,
    TRUSTED,
    encoded_record,
    linear_graph,
    record_of,
    signed_record_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


ENCODED = Encoding(terms=(Number(column="a", fill=1.0), Number(column="b", fill=0.0)))


def test_a_table_is_scored_by_column_names() -> None:
    scores = load_unsigned(record_of(linear_graph())).score(pa.table({"b": [1, 3], "a": [2.0, 0.0]}))
    assert scores.dtype == np.float64
    assert scores.tolist() == [0.0, -3.0]


def test_a_table_a_request_and_tensors_give_the_same_scores() -> None:
    scorer = load_unsigned(record_of(linear_graph()))
    assert scorer.input_columns == ("a", "b")
    assert scorer.score_rows([{"a": 2.0, "b": 1}, {"b": 3.0, "a": 0}]).tolist() == [0.0, -3.0]
    tensors = {"a": np.array([2.0, 0.0]), "b": np.array([1.0, 3.0])}
    assert scorer.score_tensors(tensors).tolist() == [0.0, -3.0]


def test_the_file_encodes_raw_columns_itself() -> None:
    scorer = load_unsigned(encoded_record(ENCODED))
    assert scorer.input_columns == ("a", "b")
    assert scorer.score(pa.table({"a": pa.array([None, 4], pa.int64()), "b": [0, 1]})).tolist() == [0.5, 1.0]


def test_the_score_of_an_anchored_model_is_relative_to_the_anchor() -> None:
    encoding = ENCODED.model_copy(update={"anchor": Anchor(columns=("a",), fill=10.0)})
    scores = load_unsigned(encoded_record(encoding)).score(pa.table({"a": pa.array([2.0, None]), "b": [1.0, 0.5]}))
    np.testing.assert_allclose(scores, [2.0, 10.0])


@pytest.mark.parametrize("shape", [(None,), (None, 1)])
@pytest.mark.parametrize("kind", [Kind.DOUBLE, Kind.FLOAT])
def test_columns_of_either_shape_and_scores_of_either_precision_are_taken(kind: Kind, shape: tuple[int | None]) -> None:
    inputs = [Input(name=name, kind=kind, example=1.0) for name in ("a", "b")]
    scorer = load_unsigned(record_of(linear_graph(kind=kind, shape=shape), inputs=inputs))
    assert scorer.signature.output_kind is kind
    assert scorer.score_rows([{"a": 0.1, "b": 0}, {"a": 2, "b": 1}]) == pytest.approx([0.05, 0.0])


def test_no_rows_give_no_scores() -> None:
    scorer = load_unsigned(encoded_record(ENCODED))
    empty = pa.table({"a": pa.array([], pa.float64()), "b": pa.array([], pa.float64())})
    assert scorer.score(empty).shape == (0,)
    assert scorer.score_rows([]).shape == (0,)
    assert scorer.score_tensors({"a": np.empty(0), "b": np.empty(0)}).shape == (0,)


def test_a_table_of_more_rows_than_are_scored_at_once_is_scored_alike() -> None:
    scorer = load_unsigned(encoded_record(ENCODED))
    numbers = np.arange(2.5 * ROWS_AT_A_TIME)
    scores = scorer.score(pa.table({"a": numbers, "b": -numbers}))
    np.testing.assert_array_equal(scores, 1.5 * numbers)


def test_threads_that_share_a_scorer_get_the_same_bits() -> None:
    columns = [f"f{number}" for number in range(64)]
    inputs = [Input(name=name, kind=Kind.DOUBLE, example=1.0) for name in columns]
    scorer = load_unsigned(record_of(linear_graph(columns=columns), inputs=inputs))
    table = pa.table(dict(zip(columns, np.random.default_rng(3).normal(size=(64, 500)), strict=True)))
    expected = scorer.score(table)
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: scorer.score(table), range(16)))
    assert all(np.array_equal(result, expected) for result in results)


def test_the_cost_of_a_row_is_measured_as_the_model_is_loaded() -> None:
    names = tuple(f"n{number}" for number in range(60))
    small = load_unsigned(encoded_record(ENCODED)).cost
    large = load_unsigned(
        encoded_record(Encoding(terms=tuple(Number(column=name, fill=0.0, knots=(1.0, 2.0)) for name in names)))
    ).cost
    assert 0.0 < small.of(1) < 0.01
    assert large.row > small.row
    assert small.of(1_000_000) > 100 * small.of(1)


def test_scores_that_would_not_be_finite_are_refused() -> None:
    anchored = ENCODED.model_copy(update={"anchor": Anchor(columns=("a",), fill=10.0)})
    scorer = load_unsigned(encoded_record(anchored))
    with pytest.raises(FeatureError, match="a score would not be finite"):
        scorer.score(pa.table({"a": [4000.0], "b": [0.0]}))
    with pytest.raises(FeatureError, match="a score would not be finite"):
        scorer.score_rows([{"a": 4000.0, "b": None}])


def test_a_changed_file_is_refused() -> None:
    record = record_of(linear_graph())
    tampered = bytearray(record.onnx)
    tampered[len(tampered) // 2] ^= 1
    with pytest.raises(ArtifactError, match="was changed after training"):
        load_unsigned(dataclasses.replace(record, onnx=bytes(tampered)))


def _external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    tensor.ClearField("raw_data")


def _further_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.DOUBLE, [None]))


def _input_of_another_kind(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def _complex_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.COMPLEX128


def _two_columns(model: onnx.ModelProto) -> None:
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("a", TensorProto.DOUBLE, [None, 2]))


def _one_row(model: onnx.ModelProto) -> None:
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("a", TensorProto.DOUBLE, [1]))


def _sequence_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("a", TensorProto.DOUBLE, [None]))


def _second_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("weighted/0", TensorProto.DOUBLE, [None]))


def _text_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING


def _two_scores(model: onnx.ModelProto) -> None:
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("score", TensorProto.DOUBLE, [None, 2]))


def _function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    model.functions.append(helper.make_function("own", "Own", ["x"], ["y"], [node], [helper.make_opsetid("", 18)]))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_external, "outside the file|no valid ONNX"),
        (_function, "functions of its own|no valid ONNX"),
        *((spoil, "its inputs") for spoil in (_further_input, _sequence_input)),
        *((spoil, "its inputs") for spoil in (_input_of_another_kind, _complex_input, _two_columns, _one_row)),
        *((spoil, "its outputs") for spoil in (_second_output, _text_output, _two_scores)),
    ],
)
def test_a_graph_that_is_more_than_one_plain_function_is_refused(
    spoil: Callable[[onnx.ModelProto], None], told: str
) -> None:
    model = linear_graph()
    spoil(model)
    with pytest.raises(ArtifactError, match=told):
        load_unsigned(record_of(model))


def test_an_operator_from_outside_the_standard_is_refused_by_name() -> None:
    node = helper.make_node("Shell", ["a"], ["score"], domain="com.example")
    with pytest.raises(ArtifactError, match=r"com\.example\.Shell"):
        load_unsigned(record_of(linear_graph(nodes=[node], domains=["com.example"])))


def test_a_foreign_operator_hidden_in_a_branch_is_refused() -> None:
    out = helper.make_tensor_value_info("branch", TensorProto.DOUBLE, None)
    hidden = helper.make_graph([helper.make_node("Shell", ["a"], ["branch"], domain="com.example")], "then", [], [out])
    plain = helper.make_graph([helper.make_node("Identity", ["a"], ["branch"])], "else", [], [out])
    nodes = [
        helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True])),
        helper.make_node("If", ["yes"], ["score"], then_branch=hidden, else_branch=plain),
    ]
    with pytest.raises(ArtifactError, match=r"com\.example\.Shell"):
        load_unsigned(record_of(linear_graph(nodes=nodes, domains=["com.example"])))


def test_a_file_that_draws_numbers_is_refused() -> None:
    nodes = [helper.make_node("RandomNormalLike", ["a"], ["score"])]
    with pytest.raises(ArtifactError, match="it draws numbers: RandomNormalLike"):
        load_unsigned(record_of(linear_graph(nodes=nodes)))


def test_a_file_that_gives_one_score_for_all_rows_is_refused() -> None:
    nodes = [helper.make_node("ReduceSum", ["a"], ["score"], keepdims=1)]
    with pytest.raises(ArtifactError, match="1 scores for 8 of them"):
        load_unsigned(record_of(linear_graph(nodes=nodes)))


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ((COLUMNS[0], COLUMNS[1], COLUMNS[1]), "two of one name"),
        ((), "no inputs"),
        ((COLUMNS[0],), "its inputs"),
        ((COLUMNS[0], Input(name="b", kind=Kind.DOUBLE, example="text")), "its own example"),
        ((COLUMNS[0], Input(name="b", kind=Kind.DOUBLE, example=math.inf)), "its own example"),
    ],
)
def test_a_record_whose_inputs_are_not_those_of_its_file_is_refused(inputs: tuple[Input, ...], told: str) -> None:
    with pytest.raises(ArtifactError, match=told):
        load_unsigned(record_of(linear_graph(), inputs=inputs))


def test_bytes_that_are_no_model_are_refused() -> None:
    pickled = b"\x80\x04cos\nsystem\n."
    record = ModelRecord(name="p", version=file_version(pickled), onnx=pickled, inputs=COLUMNS, parameters={})
    with pytest.raises(ArtifactError, match="no valid ONNX model"):
        load_unsigned(record)


def test_a_record_survives_its_row() -> None:
    record = encoded_record(ENCODED)
    assert ModelRecord.of_row(record.row()) == record


@pytest.mark.parametrize(
    ("column", "text", "told"),
    [
        ("onnx_base64", "not base64!", "cannot be decoded"),
        ("inputs", "[1]", "inputs cannot be read"),
        ("inputs", "{", "inputs cannot be read"),
        ("inputs", '[{"name": "a", "kind": "complex", "example": 1}]', "inputs cannot be read"),
        ("inputs", '[{"name": "a", "kind": "double", "example": 1, "code": "x"}]', "inputs cannot be read"),
        ("inputs", '[{"name": "", "kind": "double", "example": 1}]', "inputs cannot be read"),
        ("inputs", '[{"name": "a", "kind": "text", "example": "x", "null": "nan"}]', "inputs cannot be read"),
        ("parameters", "[]", "parameters"),
        ("parameters", "{", "cannot be decoded"),
    ],
)
def test_a_row_that_holds_no_model_is_refused(column: str, text: str, told: str) -> None:
    with pytest.raises(ArtifactError, match=told):
        ModelRecord.of_row({**record_of(linear_graph()).row(), column: text})


def test_a_row_without_a_column_is_refused() -> None:
    row = record_of(linear_graph()).row()
    del row["version"]
    with pytest.raises(ArtifactError, match="'version' is missing"):
        ModelRecord.of_row(row)


def test_a_model_that_a_trusted_key_has_signed_is_loaded() -> None:
    record = signed_record_of(linear_graph())
    assert load(record, TRUSTED).score_rows([{"a": 2.0, "b": 1.0}]).tolist() == [0.0]
    assert ModelRecord.of_row(record.row()) == record
    assert signed(record_of(linear_graph()), SIGNER) == record


def test_a_model_that_nobody_has_signed_is_refused() -> None:
    with pytest.raises(SignatureError, match="it is not signed"):
        load(record_of(linear_graph()), TRUSTED)


def test_a_model_that_a_stranger_has_signed_is_refused_also_under_a_trusted_id() -> None:
    foreign = signed(record_of(linear_graph()), Ed25519PrivateKey.generate())
    with pytest.raises(SignatureError, match="not among the 1 trusted"):
        load(foreign, TRUSTED)
    [trusted_id] = TRUSTED
    with pytest.raises(SignatureError, match="does not fit"):
        load(dataclasses.replace(foreign, key_id=trusted_id), TRUSTED)


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "another"},
        {"inputs": COLUMNS[::-1]},
        {"inputs": (COLUMNS[0], Input(name="b", kind=Kind.DOUBLE, example=1.0, null=Null.NAN))},
        {"parameters": {"interval": {"half_width": 0.0}}},
        {"signature": "not base64!"},
        {"signature": "AAAA"},
    ],
)
def test_whatever_decides_a_score_cannot_be_changed_after_signing(changed: dict[str, object]) -> None:
    record = signed_record_of(linear_graph())
    with pytest.raises(SignatureError, match="does not fit"):
        load(dataclasses.replace(record, **changed), TRUSTED)  # type: ignore[arg-type]


def test_a_file_exchanged_together_with_its_hash_is_refused() -> None:
    record = signed_record_of(linear_graph())
    other = linear_graph(kind=Kind.FLOAT).SerializeToString()
    with pytest.raises(SignatureError, match="does not fit"):
        load(dataclasses.replace(record, onnx=other, version=file_version(other)), TRUSTED)
    with pytest.raises(ArtifactError, match="was changed after training"):
        load(dataclasses.replace(record, onnx=other), TRUSTED)


def test_the_runtime_keeps_no_events_no_id_of_the_machine_and_says_nothing(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(linear_graph().SerializeToString())
    home = tmp_path / "home"
    home.mkdir()
    script = "import sys; from mlops_assets.scoring.runtime import onnxruntime as o; o.InferenceSession(sys.argv[1])"
    theirs = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    plain = {name: value for name, value in os.environ.items() if name not in theirs}
    for folder in (home, tmp_path / "absent" / "home"):
        done = subprocess.run(
            [sys.executable, "-B", "-c", script, model],
            env={**plain, "HOME": str(folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert (done.stdout, done.stderr) == ("", "")
    assert list(home.iterdir()) == []
    assert not (tmp_path / "absent").exists()
