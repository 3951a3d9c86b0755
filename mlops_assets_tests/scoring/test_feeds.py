"""Rows, tables and tensors are taken as what they are, or refused with the column's name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.modeling.encoding import Encoding
from mlops_assets.modeling.terms import Missing, Number, OneOf
from mlops_assets.scoring.feeds import feed_of_rows, feed_of_table, feed_of_tensors
from mlops_assets.scoring.inputs import FeatureError, Input, Kind, Null
from mlops_assets.scoring.inputs import tensors as tensors_of
from mlops_assets.scoring.scorer import load_unsigned
from mlops_assets_tests.scoring.models import encoded_record

if TYPE_CHECKING:
    from mlops_assets.scoring.inputs import Value

LARGEST = float(np.finfo(np.float32).max)


def one(kind: Kind, null: Null = Null.REFUSED) -> tuple[Input, ...]:
    """One column of that kind."""
    return (Input(name="x", kind=kind, example="text" if kind is Kind.TEXT else 1, null=null),)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.DOUBLE, True),
        (Kind.DOUBLE, "1"),
        (Kind.DOUBLE, math.nan),
        (Kind.DOUBLE, math.inf),
        (Kind.DOUBLE, -math.inf),
        (Kind.DOUBLE, 3.5e38),
        (Kind.DOUBLE, -1e300),
        (Kind.DOUBLE, 2**53 + 1),
        (Kind.DOUBLE, -(2**53) - 1),
        (Kind.DOUBLE, 2**80),
        (Kind.DOUBLE, 10**400),
        (Kind.FLOAT, False),
        (Kind.FLOAT, 1e39),
        (Kind.INT64, 1.0),
        (Kind.INT64, True),
        (Kind.INT64, "1"),
        (Kind.INT64, 2**63),
        (Kind.INT64, 10**30),
        (Kind.INT32, 2**31),
        (Kind.INT32, 0.5),
        (Kind.BOOL, 1),
        (Kind.BOOL, 0.0),
        (Kind.BOOL, "true"),
        (Kind.TEXT, 5),
        (Kind.TEXT, True),
        (Kind.TEXT, "\ud800"),
        (Kind.TEXT, "a\udfffb"),
        (Kind.TEXT, None),
        (Kind.DOUBLE, None),
        (Kind.INT64, None),
        (Kind.BOOL, None),
    ],
)
def test_a_value_that_is_not_of_its_columns_kind_is_refused_by_the_columns_name(kind: Kind, value: Value) -> None:
    good: Value = "a" if kind is Kind.TEXT else True if kind is Kind.BOOL else 1
    for rows in ([{"x": value}], [{"x": good}, {"x": value}]):
        with pytest.raises(FeatureError, match="column x: it holds"):
            feed_of_rows(one(kind), rows)


def test_a_refusal_holds_no_value_of_a_row() -> None:
    for kind, value in ((Kind.DOUBLE, "SECRET"), (Kind.TEXT, 987654321), (Kind.DOUBLE, 2**60 + 1), (Kind.INT64, 2**70)):
        with pytest.raises(FeatureError) as refused:
            feed_of_rows(one(kind), [{"x": value}])
        assert str(value) not in str(refused.value)
    with pytest.raises(FeatureError, match="1 unknown") as refused:
        feed_of_rows(one(Kind.DOUBLE), [{"x": 1.0, "SECRET": 1}])
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.DOUBLE, -0.0),
        (Kind.DOUBLE, 5),
        (Kind.DOUBLE, 2**53),
        (Kind.DOUBLE, LARGEST),
        (Kind.DOUBLE, 5e-324),
        (Kind.FLOAT, -LARGEST),
        (Kind.INT64, 2**53 + 1),
        (Kind.INT64, -(2**63)),
        (Kind.INT32, 2**31 - 1),
        (Kind.BOOL, False),
        (Kind.TEXT, ""),
        (Kind.TEXT, "nan"),
        (Kind.TEXT, "a\x00b"),
        (Kind.TEXT, "ü\U0001f600"),
        (Kind.TEXT, "long" * 100_000),
    ],
)
def test_a_value_at_the_edge_of_its_kind_arrives_unchanged(kind: Kind, value: Value) -> None:
    found = feed_of_rows(one(kind), [{"x": value}])["x"].tolist()
    assert found == [value]
    assert math.copysign(1, found[0]) == math.copysign(1, value) if isinstance(value, float) else True
    arrow = pa.array([value], {Kind.INT32: pa.int32(), Kind.FLOAT: pa.float32()}.get(kind))
    assert feed_of_table(one(kind), pa.table({"x": arrow}))["x"].tolist() == [value]


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        (Kind.DOUBLE, pa.array([True])),
        (Kind.DOUBLE, pa.array(["1"])),
        (Kind.DOUBLE, pa.array([math.nan])),
        (Kind.DOUBLE, pa.array([1.0, math.inf])),
        (Kind.DOUBLE, pa.array([1e39])),
        (Kind.DOUBLE, pa.array([2**53 + 1])),
        (Kind.DOUBLE, pa.array([None], pa.float64())),
        (Kind.DOUBLE, pa.array([None])),
        (Kind.INT64, pa.array([1.0])),
        (Kind.INT64, pa.array([2**63], pa.uint64())),
        (Kind.INT32, pa.array([2**31])),
        (Kind.BOOL, pa.array([1])),
        (Kind.TEXT, pa.array([b"a"])),
        (Kind.TEXT, pa.array(["a", None])),
    ],
)
def test_a_tables_column_of_another_kind_is_refused_by_its_name(kind: Kind, column: pa.Array) -> None:
    with pytest.raises(FeatureError, match="column x: it holds"):
        feed_of_table(one(kind), pa.table({"x": column}))


def test_a_nan_among_nulls_is_refused() -> None:
    with pytest.raises(FeatureError, match="column x: it holds NaN"):
        feed_of_table(one(Kind.DOUBLE, Null.NAN), pa.table({"x": pa.array([None, math.nan])}))
    with pytest.raises(FeatureError, match="column x: it holds NaN"):
        feed_of_rows(one(Kind.DOUBLE, Null.NAN), [{"x": None}, {"x": math.nan}])


@pytest.mark.parametrize("count", [1, 20, 500])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3.5e38, -1e300])
def test_one_bad_number_among_few_or_many_is_refused(count: int, bad: float) -> None:
    numbers = np.full(count, 1.0)
    numbers[count // 2] = bad
    with pytest.raises(FeatureError, match="column x: it holds NaN, infinite or too large values"):
        feed_of_rows(one(Kind.DOUBLE), [{"x": float(number)} for number in numbers])
    with pytest.raises(FeatureError, match="column x: it holds NaN, infinite or too large values"):
        feed_of_table(one(Kind.DOUBLE), pa.table({"x": numbers}))
    with pytest.raises(FeatureError, match="column x: it holds NaN, infinite or too large values"):
        feed_of_tensors(tensors_of(one(Kind.DOUBLE)), {"x": numbers})


def test_other_columns_are_refused_and_the_missing_ones_named() -> None:
    columns = (*one(Kind.DOUBLE), Input(name="y", kind=Kind.TEXT, example="a"))
    with pytest.raises(FeatureError, match=r"Row 1 to score.*missing: y; 0 unknown"):
        feed_of_rows(columns, [{"x": 1.0, "y": "a"}, {"x": 1.0}])
    with pytest.raises(FeatureError, match="missing: x, y; 1 unknown"):
        feed_of_table(columns, pa.table({"z": [1.0]}))
    with pytest.raises(FeatureError, match=r"missing: none; 0 unknown; 1 repeated"):
        feed_of_table(columns, pa.table([[1.0], ["a"], ["b"]], names=["x", "y", "y"]))
    with pytest.raises(FeatureError, match="missing: y"):
        feed_of_tensors(tensors_of(columns), {"x": np.zeros(1)})


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"x": np.zeros(1, dtype=np.float32)}, "float32 of 1 dimensions"),
        ({"x": np.zeros((1, 1))}, "float64 of 2 dimensions"),
        ({"x": np.zeros(2), "x_is_null": np.zeros(2, dtype=np.bool_)}, "1 unknown"),
    ],
)
def test_tensors_of_another_form_are_refused(tensors: dict[str, Any], told: str) -> None:
    with pytest.raises(FeatureError, match=told):
        feed_of_tensors(tensors_of(one(Kind.DOUBLE)), tensors)
    with pytest.raises(FeatureError, match="differ in length"):
        feed_of_tensors(
            tensors_of(one(Kind.INT64, Null.FLAG)), {"x": np.zeros(2, dtype=np.int64), "x_is_null": np.array([True])}
        )


def test_a_null_is_nan_or_told_by_its_flag() -> None:
    doubles = feed_of_rows(one(Kind.DOUBLE, Null.NAN), [{"x": None}, {"x": 2}])["x"]
    np.testing.assert_array_equal(doubles, [math.nan, 2.0])
    for feed in (
        feed_of_rows(one(Kind.TEXT, Null.FLAG), [{"x": None}, {"x": ""}]),
        feed_of_table(one(Kind.TEXT, Null.FLAG), pa.table({"x": pa.array([None, ""], pa.string())})),
    ):
        assert {name: tensor.tolist() for name, tensor in feed.items()} == {"x": ["", ""], "x_is_null": [True, False]}


def test_no_null_is_taken_for_a_text_and_no_text_for_a_null() -> None:
    encoding = Encoding(terms=(OneOf(column="x", classes=("", "nan", "None", "null")), Missing(column="x")))
    scorer = load_unsigned(encoded_record(encoding))
    texts = ["", "nan", "None", "null", "NaN", "nan\x00", None]
    expected = [0.5, -1.0, 0.5, -1.0, 0.0, 0.0, 0.5]
    assert scorer.score_rows([{"x": text} for text in texts]).tolist() == expected
    assert scorer.score(pa.table({"x": texts})).tolist() == expected


def test_minus_zero_scores_like_zero() -> None:
    scorer = load_unsigned(encoded_record(Encoding(terms=(Number(column="x", fill=1.0, knots=(0.0,)),))))
    assert scorer.score_rows([{"x": -0.0}, {"x": 0}]).tolist() == [0.0, 0.0]
