"""The vote model: training, evaluation beside baselines, and predictions of districts."""

from __future__ import annotations

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mlops_assets.modeling.district_votes import fit, labelled_rows, past_tests, predict, train
from mlops_assets.modeling.district_votes_evaluation import evaluate
from mlops_assets.modeling.errors import TrainingError
from mlops_assets.modeling.fitting import MOST_DIFFERENCE
from mlops_assets.scoring.scorer import load
from mlops_assets_tests.modeling.districts import Returns, returns


@pytest.fixture(scope="module")
def drawn() -> Returns:
    return returns()


def _changed(table: pa.Table, column: str, election: str, value: float) -> pa.Table:
    """The table with another value in that election and all later ones."""
    later = pc.greater_equal(table.column("election"), election)
    kind = table.schema.field(column).type
    values = pc.if_else(later, pa.scalar(value).cast(kind), table.column(column))
    return table.set_column(table.column_names.index(column), column, values)


def test_the_file_computes_what_scikit_learn_computes(drawn: Returns) -> None:
    record = train(*drawn.tables(), "2022").record
    rows = labelled_rows(*drawn.tables(), "2022")
    fitted = fit(rows)
    raw = rows.select(fitted.encoding.columns)
    np.testing.assert_allclose(load(record).score(raw), fitted.scores(raw), rtol=MOST_DIFFERENCE)


def test_results_and_features_of_the_forecast_election_or_later_change_nothing() -> None:
    known = returns(known_until=2022)
    features = _changed(known.features, "votes_last", "2022", 1.0)
    results = _changed(known.results, "total_votes", "2022", 3)
    told = (ibis.memtable(features), ibis.memtable(results))
    assert train(*told, "2022").record == train(*known.tables(), "2022").record
    assert evaluate(*told, "2022") == evaluate(*known.tables(), "2022")


def test_naive_baselines_are_what_they_say(drawn: Returns) -> None:
    measured = {(m.tested_on, m.estimator): m for m in evaluate(*drawn.tables(), "2022")}
    counts = {(row["election"], row["state"], row["district"]): row["total_votes"] for row in drawn.results.to_pylist()}
    for estimator, year in (("same_as_last_time", "2018"), ("same_kind_last_time", "2016")):
        errors = [
            abs(counts[year, state, district] / count - 1)
            for (election, state, district), count in counts.items()
            if election == "2020"
        ]
        found = measured["2020", estimator]
        assert found.rows == 27
        assert found.metrics["mean_absolute_percentage_error"] == pytest.approx(100 * np.mean(errors))


def test_the_model_beats_the_baselines_where_there_is_something_to_learn(drawn: Returns) -> None:
    measured = {(m.tested_on, m.estimator): m.metrics for m in evaluate(*drawn.tables(), "2022")}
    metric = "mean_absolute_percentage_error"
    for tested_on in ("2016", "2018", "2020"):
        assert measured[tested_on, "model"][metric] < measured[tested_on, "same_as_last_time"][metric]
    model = np.mean([measured[year, "model"][metric] for year in ("2014", "2016", "2018", "2020")])
    kind = np.mean([measured[year, "same_kind_last_time"][metric] for year in ("2014", "2016", "2018", "2020")])
    assert model < kind


def test_each_test_is_trained_on_earlier_elections_only(drawn: Returns) -> None:
    rows = labelled_rows(*drawn.tables(), "2022")
    before = past_tests(rows)
    changed = _changed(rows, "total_votes", "2018", 5)
    after = past_tests(changed)
    for first, second in zip(before, after, strict=True):
        if first.election <= "2018":
            np.testing.assert_array_equal(first.predicted, second.predicted)


def test_predictions_lie_in_intervals_that_hold_what_happened(drawn: Returns) -> None:
    happened = {
        (row["state"], row["district"]): row["total_votes"]
        for row in returns(known_until=2022).results.to_pylist()
        if row["election"] == "2022"
    }
    features, results = drawn.tables()
    record = train(features, results, "2022").record
    table = predict(features.filter(features.election == "2022"), record, election="2022", features_version="v1:x")
    rows = table.to_pylist()
    assert len(rows) == 27
    assert all(row["lower"] < row["value"] < row["upper"] for row in rows)
    held = [row["lower"] <= happened[row["state"], row["district"]] <= row["upper"] for row in rows]
    assert np.mean(held) >= 0.75
    assert table.column("basis").null_count == 0


def test_a_forecast_two_elections_ahead_does_not_lean_on_the_unknown_last_one() -> None:
    drawn = returns(last=2022, known_until=2018)
    record = train(*drawn.tables(), "2022").record
    rows = labelled_rows(*drawn.tables(), "2022")
    assert rows.column("votes_last").null_count == rows.num_rows
    features = drawn.tables()[0]
    table = predict(features.filter(features.election == "2022"), record, election="2022", features_version="v1:x")
    happened = returns(known_until=2022).results.filter(
        pc.equal(returns(known_until=2022).results.column("election"), "2022")
    )
    truth = {(row["state"], row["district"]): row["total_votes"] for row in happened.to_pylist()}
    errors = [abs(row["value"] / truth[row["state"], row["district"]] - 1) for row in table.to_pylist()]
    assert np.mean(errors) < 0.15
    assert {m.estimator for m in evaluate(*drawn.tables(), "2022")} == {
        "model",
        "model_all_districts",
        "same_kind_last_time",
    }


def test_districts_without_a_count_are_left_out_of_training_but_predicted() -> None:
    drawn = returns()
    counts = drawn.results.column("total_votes")
    uncounted = pc.and_(pc.equal(drawn.results.column("district"), "01"), pc.equal(drawn.results.column("state"), "NC"))
    results = drawn.results.set_column(3, "total_votes", pc.if_else(uncounted, pa.scalar(None, pa.int64()), counts))
    features = drawn.features
    for column in ("votes_last", "votes_second_last", "votes_third_last"):
        here = pc.and_(pc.equal(features.column("district"), "01"), pc.equal(features.column("state"), "NC"))
        features = features.set_column(
            features.column_names.index(column),
            column,
            pc.if_else(here, pa.scalar(None, pa.float64()), features.column(column)),
        )
    table = ibis.memtable(features)
    record = train(table, ibis.memtable(results), "2022").record
    predicted = predict(table.filter(table.election == "2022"), record, election="2022", features_version="v1:x")
    [row] = [row for row in predicted.to_pylist() if (row["state"], row["district"]) == ("NC", "01")]
    assert 50_000 < row["value"] < 1_000_000
    assert row["basis"] is None


def test_a_district_of_which_nothing_is_known_gets_the_usual_number_of_votes(drawn: Returns) -> None:
    features, results = drawn.tables()
    unknown = features.filter(features.election == "2022").mutate(
        **{column: ibis.null("float64") for column in features.columns if "votes" in column}
    )
    record = train(features, results, "2022").record
    table = predict(unknown.limit(1), record, election="2022", features_version="v1:x")
    assert 50_000 < table.column("value")[0].as_py() < 1_000_000


def test_one_earlier_election_with_a_past_is_enough_to_train() -> None:
    drawn = returns(first=2018, last=2022, known_until=2020)
    record = train(*drawn.tables(), "2022")
    assert record.trained_on == ("2020",)
    assert record.record.parameters["interval"]["evidence"] == "change since the last election of the same kind"


@pytest.mark.parametrize("drawn_small", [returns(districts=4, first=2018), returns(first=2020)])
def test_too_few_districts_are_refused_with_their_number(drawn_small: Returns) -> None:
    with pytest.raises(TrainingError, match="training needs 10"):
        train(*drawn_small.tables(), "2022")
