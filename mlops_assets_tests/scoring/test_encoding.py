"""How raw columns become features."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlops_assets.scoring.encoding import (
    Anchor,
    Cycle,
    Encoding,
    FeatureError,
    FirstKnown,
    LogRatio,
    Missing,
    Number,
    OneOf,
    Product,
)

EVERY_KIND = Encoding(
    terms=(
        Number(column="age", fill=40.0, knots=(30.0,)),
        Missing(column="age"),
        OneOf(column="party", classes=("BLUE", "RED")),
        Cycle(column="year", period=10, place=2),
        LogRatio(name="growth", over=("now", "estimate"), under=("then",)),
        FirstKnown(name="latest", of=("now", "estimate"), fill=-1.0),
        Product(factors=("age_above_30", "party_is_RED")),
    ),
    anchor=Anchor(columns=("now", "then"), fill=7.0),
)


def rows(**columns: pa.Array) -> pa.Table:
    given_rows = {
        "age": pa.array([25, None, 50], pa.int64()),
        "party": pa.array(["RED", "BLUE", "RED"]),
        "year": pa.array(["2012", "2014", "2022"]),
        "now": pa.array([2.0, None, 0.0]),
        "estimate": pa.array([9.0, 3.0, None]),
        "then": pa.array([1.0, 1.0, 5.0]),
    }
    return pa.table({**given_rows, **columns})


def test_every_kind_of_term_gives_its_features_in_declared_order() -> None:
    assert EVERY_KIND.feature_names == (
        "age",
        "age_above_30",
        "age_missing",
        "party_is_BLUE",
        "party_is_RED",
        "year_mod_10_is_2",
        "growth",
        "latest",
        "age_above_30_x_party_is_RED",
    )
    np.testing.assert_allclose(
        EVERY_KIND.matrix(rows()),
        np.array(
            [
                [25.0, 0.0, 0.0, 0.0, 1.0, 1.0, math.log(2), 2.0, 0.0],
                [40.0, 10.0, 1.0, 1.0, 0.0, 0.0, math.log(3), 3.0, 0.0],
                [50.0, 20.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 20.0],
            ]
        ),
    )


def test_the_anchor_is_the_first_known_positive_column_else_the_fill() -> None:
    anchors = EVERY_KIND.anchors(rows(then=pa.array([1.0, None, 5.0])))
    np.testing.assert_array_equal(anchors, [2.0, 7.0, 5.0])


def test_a_class_that_training_never_saw_gives_zeros() -> None:
    matrix = EVERY_KIND.matrix(rows(party=pa.array(["GREEN", "BLUE", "RED"])))
    assert matrix[0, 3:5].tolist() == [0.0, 0.0]


def test_the_order_of_the_columns_does_not_matter() -> None:
    backwards = rows().select(rows().column_names[::-1])
    np.testing.assert_array_equal(EVERY_KIND.matrix(backwards), EVERY_KIND.matrix(rows()))


def test_a_declaration_survives_json() -> None:
    assert Encoding.model_validate_json(EVERY_KIND.model_dump_json()) == EVERY_KIND


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (rows().drop_columns(["age"]), "missing: age"),
        (rows(name=pa.array(["x", "y", "z"])), "unknown: name"),
        (rows(age=pa.array([25.0, math.nan, 1.0])), "column age: it holds 1 NaN or infinite"),
        (rows(age=pa.array([25.0, math.inf, 1.0])), "column age: it holds 1 NaN or infinite"),
        (rows(age=pa.array(["25", "26", "27"])), "column age: it holds string"),
        (rows(party=pa.array(["RED", None, "RED"])), "column party"),
        (rows(year=pa.array(["2012", "soon", "2014"])), "column year"),
        (rows(year=pa.array([2012, None, 2014])), "column year"),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_the_column_named(changed: pa.Table, told: str) -> None:
    with pytest.raises(FeatureError, match=told):
        EVERY_KIND.matrix(changed)


@pytest.mark.parametrize(
    "terms",
    [
        (Product(factors=("age", "age")),),
        (Number(column="age", fill=0.0), Number(column="age", fill=1.0)),
        ({"kind": "script", "code": "import os"},),
        ({"kind": "number", "column": "age", "fill": math.nan},),
    ],
)
def test_an_unclear_declaration_is_refused(terms: tuple[object, ...]) -> None:
    with pytest.raises(ValidationError):
        Encoding.model_validate({"terms": terms})


@given(
    ages=st.lists(st.none() | st.integers(-(10**6), 10**6), max_size=20),
    ratio=st.floats(1e-6, 1e6) | st.none(),
)
def test_encoded_numbers_are_always_finite(ages: list[int | None], ratio: float | None) -> None:
    count = len(ages)
    table = pa.table(
        {
            "age": pa.array(ages, pa.int64()),
            "party": pa.array(["RED"] * count, pa.string()),
            "year": pa.array(["2012"] * count, pa.string()),
            "now": pa.array([ratio] * count, pa.float64()),
            "estimate": pa.array([None] * count, pa.float64()),
            "then": pa.array([0.0] * count, pa.float64()),
        }
    )
    matrix = EVERY_KIND.matrix(table)
    assert matrix.shape == (count, len(EVERY_KIND.feature_names))
    assert np.isfinite(matrix).all()


def test_a_score_may_be_a_difference_from_its_anchor_within_limits() -> None:
    encoding = EVERY_KIND.model_copy(
        update={"anchor": Anchor(columns=("now",), fill=0.5, scale="difference"), "limits": (0.0, 1.0)}
    )
    table = rows(now=pa.array([0.4, None, 0.9]))
    np.testing.assert_allclose(encoding.score(table, np.array([0.1, -0.9, 0.5])), [0.5, 0.0, 1.0])
    assert Encoding.model_validate_json(encoding.model_dump_json()) == encoding


def test_where_none_of_several_numbers_is_known_the_fill_stands_for_them() -> None:
    nothing = pa.array([None, None, None], pa.float64())
    matrix = EVERY_KIND.matrix(rows(now=nothing, estimate=nothing))
    assert matrix[:, EVERY_KIND.feature_names.index("latest")].tolist() == [-1.0, -1.0, -1.0]
