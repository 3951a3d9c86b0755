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

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.security.signatures import SignatureError
from mlops_assets.scoring.encoding import Anchor, Encoding, FeatureError, Number
from mlops_assets.scoring.records import ModelRecord, file_version
from mlops_assets.scoring.scorer import load, load_unsigned
from mlops_assets.scoring.signatures import signed
from mlops_assets_tests.scoring.models import SIGNER, TRUSTED, linear_graph, record_of, signed_record_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

ENCODED = Encoding(terms=(Number(column="a", fill=1.0), Number(column="b", fill=0.0)))


@pytest.mark.parametrize("rows", [1, 20, 500])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3.5e38, -1e300])
def test_one_bad_number_among_few_or_many_is_refused_by_its_column(rows: int, bad: float) -> None:
    matrix = np.full((rows, 2), 1.0)
    matrix[rows // 2, 1] = bad
    with pytest.raises(FeatureError, match=r"NaN, infinite or too large values in b\."):
        load_unsigned(record_of(linear_graph())).score(matrix)


@pytest.mark.parametrize("rows", [1, 500])
def test_the_largest_numbers_that_the_model_can_hold_are_scored(rows: int) -> None:
    largest = float(np.finfo(np.float32).max)
    scores = load_unsigned(record_of(linear_graph())).score(np.full((rows, 2), [0.0, -largest]))
    assert len(scores) == rows
    assert np.isfinite(scores).all()


def test_a_matrix_is_scored_in_the_order_of_the_feature_names() -> None:
    scores = load_unsigned(record_of(linear_graph())).score(np.array([[2.0, 1.0], [0.0, 3.0]]))
    assert scores.dtype == np.float64
    assert scores.tolist() == [0.0, -3.0]


def test_a_table_is_scored_by_column_names() -> None:
    table = pa.table({"b": [1, 3], "a": [2.0, 0.0]})
    assert load_unsigned(record_of(linear_graph())).score(table).tolist() == [0.0, -3.0]


def test_a_table_is_encoded_as_the_record_declares() -> None:
    scorer = load_unsigned(record_of(linear_graph(), encoding=ENCODED))
    assert scorer.input_columns == ("a", "b")
    assert scorer.score(pa.table({"a": pa.array([None, 4], pa.int64()), "b": [0, 1]})).tolist() == [0.5, 1.0]


def test_the_score_of_an_anchored_model_is_relative_to_the_anchor() -> None:
    encoding = ENCODED.model_copy(update={"anchor": Anchor(columns=("a",), fill=10.0)})
    scores = load_unsigned(record_of(linear_graph(), encoding=encoding)).score(
        pa.table({"a": pa.array([2.0, None]), "b": [1.0, 0.5]})
    )
    np.testing.assert_allclose(scores, [2.0, 10.0])


def test_of_two_classes_the_probability_of_the_second_is_the_score() -> None:
    model = linear_graph(outputs=2)
    assert load_unsigned(record_of(model)).score(np.array([[1.0, 0.0]])).tolist() == [-1.0]


def test_no_rows_give_no_scores() -> None:
    scorer = load_unsigned(record_of(linear_graph(), encoding=ENCODED))
    empty = pa.table({"a": pa.array([], pa.float64()), "b": pa.array([], pa.float64())})
    assert scorer.score(empty).shape == (0,)
    assert scorer.score(np.empty((0, 2))).shape == (0,)


def test_threads_that_share_a_scorer_get_the_same_bits() -> None:
    scorer = load_unsigned(record_of(linear_graph(columns=64), feature_names=[f"f{n}" for n in range(64)]))
    matrix = np.random.default_rng(3).normal(size=(500, 64))
    expected = scorer.score(matrix)
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: scorer.score(matrix), range(16)))
    assert all(np.array_equal(result, expected) for result in results)


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (np.array([[1.0, math.nan]]), "NaN, infinite or too large values in b"),
        (np.array([[math.inf, 1.0]]), "NaN, infinite or too large values in a"),
        (np.array([[1e300, 1.0]]), "NaN, infinite or too large values in a"),
        (np.array([1.0, 2.0]), r"shape \(2,\)"),
        (np.array([[1.0, 2.0, 3.0]]), r"shape \(1, 3\)"),
        (np.array([["1", "2"]]), "type <U1"),
        (pa.table({"a": [1.0]}), "Give exactly these: a, b"),
        (pa.table({"a": [1.0], "b": [1.0], "c": [1.0]}), "Give exactly these: a, b"),
        (pa.table({"a": pa.array([1.0, None]), "b": [1.0, 1.0]}), "NaN, infinite or too large values in a"),
        (pa.table({"a": ["one"], "b": [1.0]}), "does not hold numbers"),
    ],
)
def test_rows_that_do_not_fit_are_refused(features: npt.NDArray[np.float64] | pa.Table, told: str) -> None:
    with pytest.raises(FeatureError, match=told):
        load_unsigned(record_of(linear_graph())).score(features)


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


def _second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [None, 1]))


def _double_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def _function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    model.functions.append(helper.make_function("own", "Own", ["x"], ["y"], [node], [helper.make_opsetid("", 18)]))


@pytest.mark.parametrize("spoil", [_external, _second_input, _double_input, _function])
def test_a_graph_that_is_more_than_one_plain_function_is_refused(spoil: Callable[[onnx.ModelProto], None]) -> None:
    model = linear_graph()
    spoil(model)
    with pytest.raises(ArtifactError):
        load_unsigned(record_of(model))


def test_an_operator_from_outside_the_standard_is_refused_by_name() -> None:
    node = helper.make_node("Shell", ["features"], ["score"], domain="com.example")
    with pytest.raises(ArtifactError, match=r"com\.example\.Shell"):
        load_unsigned(record_of(linear_graph(nodes=[node], domains=["com.example"])))


def test_a_foreign_operator_hidden_in_a_branch_is_refused() -> None:
    out = helper.make_tensor_value_info("branch", TensorProto.FLOAT, None)
    hidden = helper.make_graph(
        [helper.make_node("Shell", ["features"], ["branch"], domain="com.example")], "then", [], [out]
    )
    plain = helper.make_graph([helper.make_node("Identity", ["features"], ["branch"])], "else", [], [out])
    nodes = [
        helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True])),
        helper.make_node("If", ["yes"], ["score"], then_branch=hidden, else_branch=plain),
    ]
    with pytest.raises(ArtifactError, match=r"com\.example\.Shell"):
        load_unsigned(record_of(linear_graph(nodes=nodes, domains=["com.example"])))


def test_a_file_whose_width_is_not_that_of_its_record_is_refused() -> None:
    with pytest.raises(ArtifactError, match="not one float matrix of 3 columns"):
        load_unsigned(record_of(linear_graph(), feature_names=["a", "b", "c"]))


def test_bytes_that_are_no_model_are_refused() -> None:
    pickled = b"\x80\x04cos\nsystem\n."
    record = ModelRecord(name="p", version=file_version(pickled), onnx=pickled, feature_names=("a",), parameters={})
    with pytest.raises(ArtifactError, match="no valid ONNX model"):
        load_unsigned(record)


def test_an_encoding_of_another_model_is_refused() -> None:
    record = record_of(linear_graph(), encoding=ENCODED)
    with pytest.raises(ArtifactError, match="do not belong together"):
        load_unsigned(dataclasses.replace(record, feature_names=("b", "a")))


def test_an_unreadable_encoding_is_refused() -> None:
    with pytest.raises(ArtifactError, match="its encoding cannot be read"):
        load_unsigned(record_of(linear_graph(), parameters={"encoding": {"terms": [{"kind": "script"}]}}))


def test_a_record_survives_its_row() -> None:
    record = record_of(linear_graph(), encoding=ENCODED)
    assert ModelRecord.of_row(record.row()) == record


@pytest.mark.parametrize(
    ("column", "text", "told"),
    [
        ("onnx_base64", "not base64!", "cannot be decoded"),
        ("feature_names", "[1]", "feature_names"),
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
    assert load(record, TRUSTED).score(np.array([[2.0, 1.0]])).tolist() == [0.0]
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
        {"feature_names": ("b", "a")},
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
    other = linear_graph(outputs=2).SerializeToString()
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
