"""How raw columns become features: the operators of a declaration compute what it says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mlops_assets.modeling import encoders
from mlops_assets.modeling.encoding import Encoding
from mlops_assets.modeling.terms import Anchor, Cycle, FirstKnown, LogRatio, Missing, Number, OneOf, Product
from mlops_assets.scoring.inputs import FeatureError, Input, Kind, Null
from mlops_assets.scoring.scorer import load_unsigned
from mlops_assets_tests.modeling.declared import encodings, features_of, rows_of, score_of, table_of
from mlops_assets_tests.scoring.models import WEIGHTS, encoded_graph, encoded_record

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

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
        "year": pa.array([2012, 2014, 2022]),
        "now": pa.array([2.0, None, 0.0]),
        "estimate": pa.array([9.0, 3.0, None]),
        "then": pa.array([1.0, 1.0, 5.0]),
    }
    return pa.table({**given_rows, **columns})


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_operators_of_any_declaration_compute_what_it_says(data: DataObject) -> None:
    encoding = data.draw(encodings())
    drawn = data.draw(rows_of(encoding))
    table = table_of(encoding.inputs, drawn)
    expected = np.array([features_of(encoding, row) for row in drawn]).reshape(len(drawn), len(encoding.feature_names))
    # The difference of two logarithms may be of the size of their last bit, and be multiplied by thousands.
    logarithms = any(isinstance(term, LogRatio) for term in encoding.terms)
    np.testing.assert_allclose(encoders.matrix(encoding, table), expected, rtol=1e-13, atol=1e-6 * logarithms)
    output = np.linspace(-1.0, 1.0, len(drawn))
    scores = [score_of(encoding, row, float(each)) for row, each in zip(drawn, output, strict=True)]
    np.testing.assert_allclose(encoders.score(encoding, table, output), scores, rtol=1e-13)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_file_scores_rows_of_a_request_and_of_a_table_to_the_same_bits(data: DataObject) -> None:
    encoding = data.draw(encodings().filter(lambda each: each.anchor is None or each.anchor.scale == "difference"))
    assert encoded_graph(encoding).SerializeToString() == encoded_graph(encoding).SerializeToString()
    drawn = data.draw(rows_of(encoding))
    scorer = load_unsigned(encoded_record(encoding))
    batch = scorer.score(table_of(encoding.inputs, drawn))
    assert scorer.score_rows(drawn).tolist() == batch.tolist()
    weights = np.resize(WEIGHTS, len(encoding.feature_names))
    features = np.array([features_of(encoding, row) for row in drawn]).reshape(len(drawn), len(weights))
    sizes = (np.abs(features) + 1e6 * any(isinstance(term, LogRatio) for term in encoding.terms)) @ np.abs(
        weights
    ) + 1.0
    expected = [score_of(encoding, row, float(o)) for row, o in zip(drawn, features @ weights, strict=True)]
    assert (np.abs(batch - expected) <= 1e-12 * sizes).all()


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
        encoders.matrix(EVERY_KIND, rows()),
        np.array(
            [
                [25.0, 0.0, 0.0, 0.0, 1.0, 1.0, math.log(2), 2.0, 0.0],
                [40.0, 10.0, 1.0, 1.0, 0.0, 0.0, math.log(3), 3.0, 0.0],
                [50.0, 20.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 20.0],
            ]
        ),
    )


def test_the_anchor_is_the_first_known_positive_column_else_the_fill() -> None:
    anchors = encoders.anchors(EVERY_KIND, rows(then=pa.array([1.0, None, 5.0])))
    np.testing.assert_array_equal(anchors, [2.0, 7.0, 5.0])


def test_a_class_that_training_never_saw_gives_zeros() -> None:
    matrix = encoders.matrix(EVERY_KIND, rows(party=pa.array(["GREEN", "BLUE", "RED"])))
    assert matrix[0, 3:5].tolist() == [0.0, 0.0]


def test_the_order_of_the_columns_does_not_matter() -> None:
    backwards = rows().select(rows().column_names[::-1])
    np.testing.assert_array_equal(encoders.matrix(EVERY_KIND, backwards), encoders.matrix(EVERY_KIND, rows()))


def test_a_declaration_survives_json() -> None:
    assert Encoding.model_validate_json(EVERY_KIND.model_dump_json()) == EVERY_KIND


def test_a_declaration_tells_the_inputs_of_its_file_with_examples_of_its_own() -> None:
    assert EVERY_KIND.inputs == (
        Input(name="age", kind=Kind.DOUBLE, example=40.0, null=Null.NAN),
        Input(name="party", kind=Kind.TEXT, example="BLUE"),
        Input(name="year", kind=Kind.INT64, example=12),
        Input(name="now", kind=Kind.DOUBLE, example=-1.0, null=Null.NAN),
        Input(name="estimate", kind=Kind.DOUBLE, example=-1.0, null=Null.NAN),
        Input(name="then", kind=Kind.DOUBLE, example=7.0, null=Null.NAN),
    )
    asked = Encoding(terms=(Missing(column="party"), OneOf(column="party", classes=("RED",))))
    assert asked.inputs == (Input(name="party", kind=Kind.TEXT, example="RED", null=Null.FLAG),)
    assert asked.inputs[0].flag == "party_is_null"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (rows().drop_columns(["age"]), "missing: age"),
        (rows(name=pa.array(["x", "y", "z"])), "1 unknown"),
        (rows(age=pa.array([25.0, math.nan, 1.0])), "column age: it holds NaN"),
        (rows(age=pa.array([25.0, math.inf, 1.0])), "column age: it holds NaN, infinite"),
        (rows(age=pa.array(["25", "26", "27"])), "column age: it holds string"),
        (rows(party=pa.array(["RED", None, "RED"])), "column party: it holds 1 nulls"),
        (rows(year=pa.array(["2012", "2013", "2014"])), "column year: it holds string"),
        (rows(year=pa.array([2012, None, 2014])), "column year: it holds 1 nulls"),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_the_column_named(changed: pa.Table, told: str) -> None:
    with pytest.raises(FeatureError, match=told):
        encoders.matrix(EVERY_KIND, changed)


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"terms": (Product(factors=("age", "age")),)}, "no term before it"),
        ({"terms": (Number(column="age", fill=0.0), Number(column="age", fill=1.0))}, "given twice"),
        ({"terms": (OneOf(column="party", classes=("RED", "RED")),)}, "given twice"),
        ({"terms": ({"kind": "script", "code": "import os"},)}, "kind"),
        ({"terms": ({"kind": "number", "column": "age", "fill": math.nan},)}, "finite"),
        ({"terms": ()}, "at least 1"),
        ({"terms": (Number(column="x", fill=0.0), OneOf(column="x", classes=("RED",)))}, r"\['x'\]"),
        ({"terms": (Cycle(column="x", period=2, place=0),), "kinds": {"x": "double"}}, r"\['x'\]"),
        ({"terms": (Number(column="x", fill=0.0),), "kinds": {"y": "double"}}, r"\['y'\]"),
        (
            {
                "terms": (
                    Missing(column="x"),
                    OneOf(column="x", classes=("RED",)),
                    OneOf(column="x_is_null", classes=("RED",)),
                )
            },
            r"\['x'\]",
        ),
    ],
)
def test_an_unclear_declaration_is_refused(declared: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Encoding.model_validate(declared)


def test_a_score_may_be_a_difference_from_its_anchor_within_limits() -> None:
    encoding = EVERY_KIND.model_copy(
        update={"anchor": Anchor(columns=("now",), fill=0.5, scale="difference"), "limits": (0.0, 1.0)}
    )
    table = rows(now=pa.array([0.4, None, 0.9]))
    np.testing.assert_allclose(encoders.score(encoding, table, np.array([0.1, -0.9, 0.5])), [0.5, 0.0, 1.0])
    assert Encoding.model_validate_json(encoding.model_dump_json()) == encoding


def test_where_none_of_several_numbers_is_known_the_fill_stands_for_them() -> None:
    nothing = pa.array([None, None, None], pa.float64())
    matrix = encoders.matrix(EVERY_KIND, rows(now=nothing, estimate=nothing))
    assert matrix[:, EVERY_KIND.feature_names.index("latest")].tolist() == [-1.0, -1.0, -1.0]


def test_a_table_of_more_rows_than_are_encoded_at_once_is_encoded_row_by_row_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = encoders.matrix(EVERY_KIND, rows())
    monkeypatch.setattr(encoders, "ROWS_AT_A_TIME", 2)
    np.testing.assert_array_equal(encoders.matrix(EVERY_KIND, rows()), whole)
