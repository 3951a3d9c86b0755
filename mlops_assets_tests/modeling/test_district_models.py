"""The vote model and the share model: training, evaluation beside naive guesses, and predictions of districts."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mlops_assets.contracts.models import FORMS
from mlops_assets.modeling.district_evaluation import evaluate
from mlops_assets.modeling.district_model import labelled_rows, past_tests, predict, train
from mlops_assets.modeling.district_share import SHARE
from mlops_assets.modeling.district_votes import VOTES
from mlops_assets.modeling.errors import TrainingError
from mlops_assets.modeling.evidence import evidence_in
from mlops_assets.modeling.fitting import MOST_DIFFERENCE, model_record
from mlops_assets.modeling.trained import ALL, MODEL, Measured, Trained, evaluation_table
from mlops_assets.platform.security.signatures import SignatureError
from mlops_assets.scoring.scorer import load, load_unsigned
from mlops_assets.scoring.signatures import signed
from mlops_assets_tests.modeling.districts import Returns, returns
from mlops_assets_tests.scoring.models import SIGNER, TRUSTED

if TYPE_CHECKING:
    from mlops_assets.modeling.district_model import Target

BOTH = pytest.mark.parametrize("target", [VOTES, SHARE], ids=["votes", "share"])


@pytest.fixture(scope="module")
def drawn() -> Returns:
    return returns()


@functools.cache
def trained(target: Target, drawn: Returns, election: str = "2022") -> Trained:
    """The model that the assets would train."""
    training_set = drawn.training_set(election)
    evaluation = ibis.memtable(evaluation_table(election, evaluate(target, training_set, election)))
    found = evidence_in(evaluation, level="district", metric=target.metric)
    return train(target, labelled_rows(target, training_set, election), election, found, training_set="v1:x")


def predicted(target: Target, drawn: Returns, model: Trained) -> list[dict[str, Any]]:
    """The predictions of 2022."""
    features = drawn.tables()[0]
    table = predict(
        target,
        features.filter(features.election == "2022"),
        signed(model.record, SIGNER),
        trusted=TRUSTED,
        election="2022",
        features_version="v1:x",
    )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def happened(target: Target, election: str = "2022") -> dict[tuple[str, str], float]:
    """What the same draw has in store for that election."""
    results = returns(known_until=2022).results.to_pylist()
    return {
        (row["state"], row["district"]): float(row["total_votes"])
        if target is VOTES
        else row["democratic_votes"] / row["total_votes"]
        for row in results
        if row["election"] == election
    }


def overall(measured: list[Measured]) -> dict[tuple[str, str], Measured]:
    """What was measured of all districts of an election, by election and estimator."""
    found: dict[tuple[str, str], Measured] = {}
    for one in measured:
        key = one.tested_on, one.estimator
        if one.segment == ALL and one.tested_on != ALL:
            so_far = found.setdefault(key, one)
            found[key] = replace(so_far, metrics={**one.metrics, **so_far.metrics})
    return found


def _changed(table: pa.Table, column: str, election: str, value: float) -> pa.Table:
    """The table with another value in that election and all later ones."""
    later = pc.greater_equal(table.column("election"), election)
    kind = table.schema.field(column).type
    values = pc.if_else(later, pa.scalar(value).cast(kind), table.column(column))
    return table.set_column(table.column_names.index(column), column, values)


@BOTH
@pytest.mark.parametrize("form", FORMS)
def test_the_file_of_every_form_computes_what_scikit_learn_computes(target: Target, form: str, drawn: Returns) -> None:
    rows = labelled_rows(target, drawn.training_set("2022"), "2022")
    fitted = target.fit(rows, form)
    raw = rows.select(fitted.encoding.columns)
    record = model_record(target.name, fitted, raw, {})
    np.testing.assert_allclose(load_unsigned(record).score(raw), fitted.scores(raw), rtol=MOST_DIFFERENCE)
    assert record == model_record(target.name, target.fit(rows, form), raw, {})


@BOTH
def test_results_and_features_of_the_forecast_election_or_later_change_nothing(target: Target) -> None:
    known = returns(known_until=2022)
    features = _changed(known.features, "votes_last", "2022", 1.0)
    results = _changed(_changed(known.results, "total_votes", "2022", 3), "democratic_votes", "2022", 2)
    told = Returns(features=features, results=results)
    assert trained(target, told).record == trained(target, known).record


@pytest.mark.parametrize(
    ("target", "column"), [(VOTES, "total_votes"), (SHARE, "democratic_votes")], ids=["votes", "share"]
)
def test_naive_guesses_are_what_they_say(target: Target, column: str, drawn: Returns) -> None:
    measured = overall(evaluate(target, drawn.training_set("2022"), "2022"))
    rows = drawn.results.to_pylist()
    values = {
        (row["election"], row["state"], row["district"]): row[column] / (1 if target is VOTES else row["total_votes"])
        for row in rows
    }
    used = [key for key in values if key[0] == "2020" and (target is VOTES or key[1:] != ("GA", "01"))]
    for estimator, year in (("same_as_last_time", "2018"), ("same_kind_last_time", "2016")):
        found = measured["2020", estimator]
        assert found.rows == len(used)
        if target is VOTES:
            errors = [abs(values[year, *key[1:]] / values[key] - 1) for key in used]
            assert found.metrics["mean_absolute_percentage_error"] == pytest.approx(100 * np.mean(errors))
        else:
            errors = [abs(values[year, *key[1:]] - values[key]) for key in used]
            assert found.metrics["mean_absolute_error"] == pytest.approx(np.mean(errors), abs=1e-5)


@BOTH
def test_what_is_learned_beats_the_naive_guesses_where_there_is_something_to_learn(
    target: Target, drawn: Returns
) -> None:
    measured = overall(evaluate(target, drawn.training_set("2022"), "2022"))
    years = ("2014", "2016", "2018", "2020")
    means = {
        estimator: np.mean([measured[year, estimator].metrics[target.metric] for year in years])
        for estimator in (*FORMS, "same_as_last_time", "same_kind_last_time")
    }
    assert means["boosted"] < means["same_as_last_time"]
    assert means["boosted"] < means["same_kind_last_time"]


@BOTH
def test_the_form_is_chosen_by_errors_on_unseen_elections_and_the_choice_is_recorded(
    target: Target, drawn: Returns
) -> None:
    model = trained(target, drawn)
    choice = model.record.parameters["choice"]
    assert set(choice["mean_errors"]) == set(FORMS)
    assert model.form == choice["form"] == min(choice["mean_errors"], key=choice["mean_errors"].get)
    assert set(model.record.parameters["tested"]) <= set(model.trained_on)
    assert set(model.record.parameters["importance"]) == set(load_unsigned(model.record).input_columns)


@BOTH
def test_each_test_is_trained_on_earlier_elections_only(target: Target, drawn: Returns) -> None:
    rows = labelled_rows(target, drawn.training_set("2022"), "2022")
    changed = _changed(rows, target.label, "2018", 5 if target is VOTES else 0.9)
    for first, second in zip(past_tests(target, rows), past_tests(target, changed), strict=True):
        if first.election <= "2018":
            for form in FORMS:
                np.testing.assert_array_equal(first.predicted[form], second.predicted[form])


@BOTH
def test_the_choice_before_an_election_does_not_know_it(target: Target, drawn: Returns) -> None:
    rows = drawn.training_set("2022")
    other = 1_000 if target is VOTES else 0.9
    later = rows.mutate(**{target.label: (rows.election >= "2020").ifelse(other, rows[target.label])})
    before = overall(evaluate(target, rows, "2022"))
    after = overall(evaluate(target, later, "2022"))
    assert before["2018", MODEL] == after["2018", MODEL]
    assert before["2020", MODEL] != after["2020", MODEL]


@BOTH
def test_predictions_lie_in_intervals_that_hold_what_happened(target: Target, drawn: Returns) -> None:
    truth, rows = happened(target), predicted(target, drawn, trained(target, drawn))
    assert len(rows) == 27
    assert all(row["lower"] < row["value"] < row["upper"] for row in rows)
    assert all(0 < row["expected_error"] < (row["upper"] - row["lower"]) / 2 for row in rows)
    assert np.mean([row["lower"] <= truth[row["state"], row["district"]] <= row["upper"] for row in rows]) >= 0.75
    assert {row["measure"] for row in rows} == {target.measure}


def test_a_share_and_its_interval_never_leave_0_to_1() -> None:
    drawn = returns(noise=0.4)
    extreme = drawn.features.set_column(
        drawn.features.column_names.index("share_last"), "share_last", pa.array([0.999] * drawn.features.num_rows)
    )
    rows = predicted(SHARE, Returns(features=extreme, results=drawn.results), trained(SHARE, drawn))
    assert all(0 <= row["lower"] <= row["value"] <= row["upper"] <= 1 for row in rows)


def test_a_seat_without_one_of_the_parties_teaches_no_share_but_gets_one(drawn: Returns) -> None:
    rows = labelled_rows(SHARE, drawn.training_set("2022"), "2022")
    assert ("2016", "GA", "01") not in {(r["election"], r["state"], r["district"]) for r in rows.to_pylist()}
    [row] = [r for r in predicted(SHARE, drawn, trained(SHARE, drawn)) if (r["state"], r["district"]) == ("GA", "01")]
    assert 0 < row["value"] < 1


def test_a_forecast_two_elections_ahead_does_not_lean_on_the_unknown_last_one() -> None:
    drawn = returns(last=2022, known_until=2018)
    rows = labelled_rows(VOTES, drawn.training_set("2022"), "2022")
    assert rows.column("votes_last").null_count == rows.num_rows
    truth = happened(VOTES)
    errors = [
        abs(row["value"] / truth[row["state"], row["district"]] - 1)
        for row in predicted(VOTES, drawn, trained(VOTES, drawn))
    ]
    assert np.mean(errors) < 0.15
    assert "same_as_last_time" not in {m.estimator for m in evaluate(VOTES, drawn.training_set("2022"), "2022")}


def test_districts_without_a_count_are_left_out_of_training_but_predicted(drawn: Returns) -> None:
    def without(table: pa.Table, column: str) -> pa.Table:
        here = pc.and_(pc.equal(table.column("district"), "01"), pc.equal(table.column("state"), "NC"))
        kind = table.schema.field(column).type
        values = pc.if_else(here, pa.scalar(None, kind), table.column(column))
        return table.set_column(table.column_names.index(column), column, values)

    features = drawn.features
    for column in ("votes_last", "votes_second_last", "votes_third_last"):
        features = without(features, column)
    unknown = Returns(features=features, results=without(drawn.results, "total_votes"))
    rows = predicted(VOTES, unknown, trained(VOTES, unknown))
    [row] = [row for row in rows if (row["state"], row["district"]) == ("NC", "01")]
    assert 50_000 < row["value"] < 1_000_000
    assert row["basis"] is None


@BOTH
def test_a_district_of_which_nothing_is_known_gets_a_usual_value(target: Target, drawn: Returns) -> None:
    nothing = {c: pa.nulls(27 * 12, pa.float64()) for c in drawn.features.column_names if "votes" in c or "share" in c}
    unknown = drawn.features
    for column, values in nothing.items():
        unknown = unknown.set_column(unknown.column_names.index(column), column, values)
    rows = predicted(target, Returns(features=unknown, results=drawn.results), trained(target, drawn))
    low, high = (50_000, 1_000_000) if target is VOTES else (0.3, 0.7)
    assert all(low < row["value"] < high for row in rows)


def test_one_earlier_election_with_a_past_is_enough_to_train() -> None:
    model = trained(VOTES, returns(first=2018, last=2022, known_until=2020))
    assert model.trained_on == ("2020",)
    assert model.form == "linear"
    assert model.record.parameters["interval"]["evidence"] == "change since the election that the baseline repeats"


@pytest.mark.parametrize("drawn_small", [returns(districts=4, first=2018), returns(first=2020)])
def test_too_few_districts_are_refused_with_their_number(drawn_small: Returns) -> None:
    with pytest.raises(TrainingError, match="training needs 10"):
        trained(VOTES, drawn_small)


def test_an_unsigned_model_predicts_nothing(drawn: Returns) -> None:
    model = trained(VOTES, drawn)
    with pytest.raises(SignatureError, match="it is not signed"):
        load(model.record, TRUSTED)
    with pytest.raises(SignatureError, match="it is not signed"):
        predict(VOTES, drawn.tables()[0], model.record, trusted=TRUSTED, election="2022", features_version="v1:x")
