"""The files that are made of fitted models: what they compute, and alike however they are asked."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pyarrow as pa
import pytest

from mlops_assets.contracts.models import FORMS
from mlops_assets.modeling.district_model import labelled_rows
from mlops_assets.modeling.district_share import SHARE
from mlops_assets.modeling.district_votes import VOTES
from mlops_assets.modeling.encoding import Encoding
from mlops_assets.modeling.fitting import fit_probability, fit_value, model_record
from mlops_assets.modeling.forms import LINEAR
from mlops_assets.modeling.terms import Missing, Number, OneOf
from mlops_assets.scoring.inputs import Kind
from mlops_assets.scoring.scorer import load_unsigned
from mlops_assets_tests.modeling.districts import returns

if TYPE_CHECKING:
    from mlops_assets.scoring.records import ModelRecord

TARGETS = {VOTES.name: VOTES, SHARE.name: SHARE}
TIMES = 2**24 + 2 * np.arange(8)
"""Whole numbers that follow each other in single precision: no third lies between two of them."""


@functools.cache
def record(name: str, form: str) -> ModelRecord:
    """The model of a target, and rows as it reads them."""
    rows = labelled_rows(TARGETS[name], returns().training_set("2022"), "2022")
    fitted = TARGETS[name].fit(rows, form)
    return model_record(name, fitted, rows.select(fitted.encoding.columns), {})


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("form", FORMS)
def test_a_row_alone_scores_as_among_others_and_from_a_request_as_from_a_table(name: str, form: str) -> None:
    scorer = load_unsigned(record(name, form))
    rows = labelled_rows(TARGETS[name], returns().training_set("2022"), "2022").select(scorer.input_columns)
    scores = scorer.score(rows).tolist()
    asked = rows.to_pylist()
    assert scorer.score_rows(asked).tolist() == scores
    assert [scorer.score_rows([row])[0] for row in asked] == scores
    assert scorer.score(rows.slice(7, 5)).tolist() == scores[7:12]


def test_a_file_holds_raw_columns_operators_of_the_standard_and_no_trace_of_its_making() -> None:
    file = onnx.load_model_from_string(record(VOTES.name, LINEAR).onnx)
    assert {value.name for value in file.graph.input} == {column.name for column in record(VOTES.name, LINEAR).inputs}
    assert [value.name for value in file.graph.output] == ["score"]
    assert {entry.domain for entry in file.opset_import} == {"", "ai.onnx.ml"}
    assert {file.producer_name, file.producer_version, file.doc_string, file.domain} == {""}


@pytest.mark.parametrize("classifies", [True, False])
def test_trees_tell_numbers_apart_that_follow_each_other_in_single_precision(
    classifies: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    times = np.tile(TIMES, 500)
    odd = (np.arange(len(times)) % 2).astype(np.float64)
    table = pa.table({"seen_at": times})
    encoding = Encoding(terms=(Number(column="seen_at", fill=0.0),), kinds={"seen_at": Kind.INT64})
    if classifies:
        fitted = fit_probability(encoding, table, odd, np.ones(len(odd)), boosted=True)
    else:
        fitted = fit_value(encoding, table, odd, boosted=True)
    scores = load_unsigned(model_record("times", fitted, table, {})).score(pa.table({"seen_at": TIMES}))
    assert (scores[::2] < 0.2).all()
    assert (scores[1::2] > 0.8).all()


def test_a_column_may_be_called_like_the_score_and_be_text_that_is_null() -> None:
    draw = np.random.default_rng(1)
    table = pa.table({"score": draw.normal(size=2000), "segment": pa.array(["a", None, "nan", ""] * 500)})
    encoding = Encoding(
        terms=(
            Number(column="score", fill=0.0),
            OneOf(column="segment", classes=("", "a", "nan")),
            Missing(column="segment"),
        )
    )
    target = table.column("score").to_numpy() + np.tile([0.0, 5.0, 10.0, 20.0], 500)
    scorer = load_unsigned(
        model_record("m", fit_value(encoding, table, target, boosted=False, penalty=0.01), table, {})
    )
    assert scorer.signature.output == "score_"
    scores = scorer.score_rows([{"score": 1.0, "segment": segment} for segment in ("a", None, "nan", "")])
    np.testing.assert_allclose(scores, [1.0, 6.0, 11.0, 21.0], atol=0.01)
