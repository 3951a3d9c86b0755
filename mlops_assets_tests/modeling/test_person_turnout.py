"""The turnout model: training, evaluation beside baselines, and predictions of districts."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mlops_assets.contracts.models import FORMS
from mlops_assets.modeling import turnout_cells
from mlops_assets.modeling.district_turnout import predict
from mlops_assets.modeling.errors import TrainingError
from mlops_assets.modeling.evidence import evidence_in
from mlops_assets.modeling.fitting import MOST_DIFFERENCE, model_record
from mlops_assets.modeling.forms import LINEAR
from mlops_assets.modeling.person_turnout import fit
from mlops_assets.modeling.person_turnout import train as train_cells
from mlops_assets.modeling.person_turnout_evaluation import LEVEL, METRIC
from mlops_assets.modeling.person_turnout_evaluation import evaluate as evaluate_cells
from mlops_assets.modeling.trained import ALL, MODEL, Measured, Trained, evaluation_table, record_in
from mlops_assets.modeling.training_sets import person_cells
from mlops_assets.platform.errors import ArtifactError
from mlops_assets.scoring.scorer import load_unsigned
from mlops_assets.scoring.signatures import signed
from mlops_assets_tests.modeling.persons import Electorate, electorate
from mlops_assets_tests.scoring.models import SIGNER, TRUSTED

if TYPE_CHECKING:
    import ibis.expr.types as ir


def cells_of(features: ir.Table, election: str) -> pa.Table:
    """The training set as a model of that forecast reads it."""
    return turnout_cells.stored_cells(ibis.memtable(person_cells(features, election)))


def evaluate(features: ir.Table, election: str) -> list[Measured]:
    return evaluate_cells(cells_of(features, election), election)


def train(features: ir.Table, election: str) -> Trained:
    """The model that the assets would train and sign."""
    cells = cells_of(features, election)
    evaluation = ibis.memtable(evaluation_table(election, evaluate_cells(cells, election)))
    found = evidence_in(evaluation, level=LEVEL, metric=METRIC)
    trained = train_cells(cells, election, found, training_set="v1:x")
    return dataclasses.replace(trained, record=signed(trained.record, SIGNER))


def overall(measured: list[Measured]) -> dict[tuple[str, str, str], Measured]:
    return {
        (m.tested_on, m.estimator, m.level): m
        for m in measured
        if m.segment == ALL and "errors_in_interval" not in m.metrics
    }


@pytest.fixture(scope="module")
def drawn() -> Electorate:
    return electorate(persons=20_000)


@pytest.fixture(scope="module")
def tested(drawn: Electorate) -> dict[tuple[str, str, str], Measured]:
    return overall(evaluate(drawn.features(), "2022"))


@pytest.fixture(scope="module")
def trained(drawn: Electorate) -> Trained:
    return train(drawn.features(), "2022")


def _of(drawn: Electorate, election: str, state: str) -> ir.Table:
    features = drawn.features()
    return features.filter((features.election == election) & (features.state == state))


@pytest.mark.parametrize("form", FORMS)
def test_the_file_of_every_form_computes_what_scikit_learn_computes(drawn: Electorate, form: str) -> None:
    cells, history = turnout_cells.most_telling(turnout_cells.training_cells(drawn.features(), "2022"))
    fitted = fit(cells, history, form)
    raw = cells.select(fitted.encoding.columns)
    from_file = load_unsigned(model_record("turnout", fitted, raw, {})).score(raw)
    assert np.max(np.abs(from_file - fitted.scores(raw))) < MOST_DIFFERENCE
    assert 0.0 < from_file.min() < from_file.max() < 1.0


def test_counting_in_cells_loses_no_person(drawn: Electorate) -> None:
    cells = turnout_cells.turnout_cells(drawn.features())
    assert pc.sum(cells.column("voters")).as_py() == drawn.table.num_rows
    assert pc.sum(cells.column("voted")).as_py() == pc.sum(drawn.table.column("voted")).as_py()
    assert cells.num_rows < drawn.table.num_rows


def test_only_elections_before_the_forecast_are_learned_from(trained: Trained) -> None:
    assert trained.trained_on == ("2016", "2018", "2020")
    assert trained.table().num_rows == 1
    assert json.loads(trained.table().column("trained_on")[0].as_py()) == ["2016", "2018", "2020"]


def test_labels_of_the_forecast_election_or_later_change_nothing() -> None:
    drawn = electorate(last=2024, unknown=(2022, 2024))
    election, voted = drawn.table.column("election"), drawn.table.column("voted")
    known = pc.if_else(pc.greater_equal(election, "2022"), pa.scalar(1, pa.int64()), voted)
    told = drawn.table.set_column(drawn.table.column_names.index("voted"), "voted", known)
    without, with_labels = ibis.memtable(drawn.table), ibis.memtable(told)
    assert train(with_labels, "2022").record == train(without, "2022").record
    assert evaluate(with_labels, "2022") == evaluate(without, "2022")


def test_votes_before_the_first_history_are_unknown_and_not_abstentions(drawn: Electorate) -> None:
    cells = turnout_cells.training_cells(drawn.features(), "2022")
    assert turnout_cells.elections_of(cells) == ("2012", "2014", "2016", "2018", "2020")
    oldest = turnout_cells.of_elections(cells, ("2012",))
    assert oldest.column("voted_second_last").null_count == oldest.num_rows
    assert oldest.column("voted_last").null_count == 0


def test_less_history_is_taken_where_full_history_has_one_kind_of_election_only() -> None:
    trained = train(electorate().features(), "2018")
    assert trained.trained_on == ("2014", "2016")
    assert trained.record.parameters["history"] == ["voted_last", "voted_second_last"]
    assert "voted_third_last" not in [column.name for column in trained.record.inputs]


def test_a_large_training_set_is_sampled_the_same_way_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = electorate()
    monkeypatch.setattr(turnout_cells, "MOST_PERSONS", 5_000)
    first, second = train(drawn.features(), "2022"), train(drawn.features(), "2022")
    assert first.record == second.record
    cells = turnout_cells.training_cells(drawn.features(), "2022")
    assert 3_500 < pc.sum(cells.column("voters")).as_py() < 5_000


def test_without_an_earlier_election_training_is_refused_with_a_remedy() -> None:
    with pytest.raises(TrainingError, match="at least one earlier election"):
        train(electorate(persons=200).features(), "2010")


def test_one_earlier_election_is_enough_to_train_but_not_to_evaluate() -> None:
    features = electorate().features()
    only = features.filter(features.election.isin(["2012", "2014"]))
    trained = train(only, "2014")
    assert trained.trained_on == ("2012",)
    assert trained.record.parameters["interval"]["evidence"] == "change since the election before"
    assert trained.record.parameters["interval"]["half_width"] > 0.05
    assert evaluation_table("2014", evaluate(only, "2014")).num_rows == 0


def test_an_election_in_which_everybody_voted_is_refused() -> None:
    drawn = electorate(persons=500)
    everybody = drawn.features().mutate(voted=ibis.literal(1, "int64"))
    with pytest.raises(TrainingError, match="both outcomes"):
        train(everybody, "2014")


def test_the_model_knows_more_of_persons_than_their_last_vote(tested: dict[tuple[str, str, str], Measured]) -> None:
    measured = {key: one.metrics for key, one in tested.items()}
    for tested_on in ("2020", "2018"):
        model = measured[tested_on, MODEL, "person"]
        for baseline in ("same_as_last_time", "same_kind_last_time"):
            guess = measured[tested_on, baseline, "person"]
            assert model["brier"] < guess["brier"]
            assert model["log_loss"] < guess["log_loss"]
            assert model["auc"] > guess["auc"]
    last = measured["2020", "same_as_last_time", "district"]["mean_absolute_error"]
    assert measured["2020", MODEL, "district"]["mean_absolute_error"] < last


def test_groups_are_judged_on_elections_whose_kind_the_model_had_seen(drawn: Electorate) -> None:
    features = drawn.features()
    measured = evaluate(features.filter(features.election >= "2016"), "2022")
    excess = {
        (one.tested_on, one.segment): metric
        for one in measured
        for name, metric in one.metrics.items()
        if one.estimator == LINEAR and name in {"excess", "excess_of_group"}
    }
    assert {election for election, _ in excess} == {ALL, "2018", "2020"}
    for group in {segment for election, segment in excess if election == ALL}:
        assert excess[ALL, group] == pytest.approx(excess["2020", group])
    assert excess[ALL, "age=18-29"] != pytest.approx(excess["2018", "age=18-29"], abs=0.01)


def test_naive_guesses_are_what_they_say(drawn: Electorate, tested: dict[tuple[str, str, str], Measured]) -> None:
    measured = tested
    table = drawn.table.filter(pc.equal(drawn.table.column("election"), "2020"))
    wrong = pc.mean(pc.not_equal(table.column("voted"), table.column("voted_last"))).as_py()
    person = measured["2020", "same_as_last_time", "person"]
    assert person.rows == table.num_rows
    assert person.metrics["brier"] == pytest.approx(wrong)
    changes = [
        abs(share - drawn.turnout["2016", state, district])
        for (election, state, district), share in drawn.turnout.items()
        if election == "2020"
    ]
    district = measured["2020", "same_kind_last_time", "district"]
    assert district.rows == len(changes)
    assert district.metrics["mean_absolute_error"] == pytest.approx(np.mean(changes))


def test_district_turnout_is_predicted_within_its_interval(drawn: Electorate, trained: Trained) -> None:
    held = []
    for state in ("GA", "NC"):
        table = predict(
            _of(drawn, "2022", state), trained.record, trusted=TRUSTED, election="2022", features_version="v1:x"
        )
        for row in table.to_pylist():
            assert 0.0 <= row["lower"] < row["value"] < row["upper"] <= 1.0
            assert row["model_version"] == trained.record.version
            held.append(row["lower"] <= drawn.turnout["2022", state, row["district"]] <= row["upper"])
        persons = _of(drawn, "2022", state).count().to_pyarrow().as_py()
        assert pc.sum(table.column("basis")).as_py() == persons
    assert len(held) == 12
    assert np.mean(held) >= 0.75


def test_a_small_district_has_at_least_the_interval_of_chance(drawn: Electorate, trained: Trained) -> None:
    few = _of(drawn, "2022", "NC").limit(10)
    table = predict(few, trained.record, trusted=TRUSTED, election="2022", features_version="v1:x")
    widths = np.subtract(table.column("upper").to_numpy(), table.column("lower").to_numpy())
    assert widths.min() > 2 * trained.record.parameters["interval"]["half_width"]


def test_nobody_registered_gives_no_predictions(drawn: Electorate, trained: Trained) -> None:
    nobody = _of(drawn, "2022", "NC").filter(ibis.literal(value=False))
    assert predict(nobody, trained.record, trusted=TRUSTED, election="2022", features_version="v1:x").num_rows == 0


def test_features_whose_last_election_is_not_in_the_history_are_refused(drawn: Electorate, trained: Trained) -> None:
    unknown = _of(drawn, "2022", "NC").mutate(voted_last=ibis.literal(0, "int64"))
    with pytest.raises(TrainingError, match="nobody voted in voted_last"):
        predict(unknown, trained.record, trusted=TRUSTED, election="2022", features_version="v1:x")


def test_a_tampered_model_predicts_nothing(drawn: Electorate, trained: Trained) -> None:
    tampered = dataclasses.replace(trained.record, onnx=trained.record.onnx + b"\x00")
    with pytest.raises(ArtifactError, match="was changed after training"):
        predict(_of(drawn, "2022", "NC"), tampered, trusted=TRUSTED, election="2022", features_version="v1:x")


def test_a_model_survives_its_table(trained: Trained) -> None:
    assert record_in(ibis.memtable(trained.table())) == trained.record


def test_a_table_without_its_model_is_refused(trained: Trained) -> None:
    with pytest.raises(TrainingError, match="0 models"):
        record_in(ibis.memtable(trained.table()).limit(0))
