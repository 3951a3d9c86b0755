"""The assets of modeling on a real lake: from published features to the service's export."""

from __future__ import annotations

import dataclasses
import json
import re
import time
import uuid
from typing import TYPE_CHECKING, Any, Final, cast

import dagster as dg
import ibis
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mlops_assets.contracts import features, models, predictions, segmentation, training, wrangled
from mlops_assets.contracts.partitions import FORECAST_YEARS
from mlops_assets.modeling.assets import monitoring as monitor
from mlops_assets.modeling.assets import person_turnout as turnout
from mlops_assets.modeling.assets import training_sets as sets
from mlops_assets.modeling.assets.district_models import DISTRICT_SHARE, DISTRICT_VOTES, district_model_assets
from mlops_assets.modeling.assets.served import PERSON_FEATURES, PREDICTIONS, SERVED
from mlops_assets.modeling.definitions import defs
from mlops_assets.modeling.district_evaluation import evaluate
from mlops_assets.modeling.district_model import labelled_rows, train
from mlops_assets.modeling.district_votes import VOTES
from mlops_assets.modeling.evidence import evidence_in
from mlops_assets.modeling.gate import REFERENCE
from mlops_assets.modeling.trained import evaluation_table
from mlops_assets.modeling.training_sets import district_elections, person_cells
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.inputs import ins_of, resolved
from mlops_assets.platform.assets.reading import upstream_keys
from mlops_assets.platform.assets.step import Partition
from mlops_assets.platform.audit import audit
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.volume import Reference
from mlops_assets.platform.exports.export import open_export
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.frames import as_ibis
from mlops_assets.platform.lake.publish import Replacement, publish
from mlops_assets.platform.lake.recorded import recorded_contents
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import lease, stage
from mlops_assets.platform.lake.tables import current_table, published_table
from mlops_assets.platform.security.token_keys import read_keys
from mlops_assets.platform.settings import Settings
from mlops_assets.scoring.records import ModelRecord
from mlops_assets.serving.exports.models import LoadedModels
from mlops_assets.wrangling.segment_turnout import segment_turnout
from mlops_assets_tests.modeling.districts import as_results, returns
from mlops_assets_tests.modeling.persons import electorate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.contract import Contract

PERSONS = electorate(persons=5_000)
RETURNS = returns(first=2008)
"""Elections 2008 to 2022, results known until 2020."""


def _rows_of(table: pa.Table, partition: Partition) -> pa.Table:
    for column, value in partition.values.items():
        table = table.filter(pc.equal(table.column(column), value))
    return table


def _unjudged(contract: Contract) -> Contract:
    """The contract without the gates that only the real asset can judge."""
    return dataclasses.replace(contract, judged={}, judged_warnings=frozenset())


@asset(contract=_unjudged(features.PERSON_TURNOUT))
def persons(partition: Partition) -> pa.Table:
    """Persons of the small electorate."""
    return _rows_of(PERSONS.table, partition)


@asset(contract=segmentation.SEGMENT_TURNOUT)
def segments(partition: Partition) -> pa.Table:
    """What wrangling would make of the small electorate, told apart by age."""
    row = {"candidate": "age_group", "series": "", "followed": True, "reason": "it tells most"}
    return segment_turnout(ibis.memtable(PERSONS.table), [row], [], [], forecast=partition.values["forecast"])


@asset(contract=_unjudged(features.DISTRICT_ELECTION))
def districts(partition: Partition) -> pa.Table:
    """Districts of the small returns."""
    return _rows_of(RETURNS.features, partition)


@asset(contract=wrangled.HOUSE_RESULTS)
def results(partition: Partition) -> pa.Table:
    """Results of the small returns."""
    return as_results(_rows_of(RETURNS.results, partition))


VOTE_MODEL: Final = district_model_assets(DISTRICT_VOTES)
DISTRICT_MODELS: Final = (*VOTE_MODEL, *district_model_assets(DISTRICT_SHARE))
PERSON_MODELS: Final = (turnout.person_turnout_evaluation, turnout.person_turnout)
MADE: Final = (
    persons,
    segments,
    districts,
    results,
    sets.person_turnout_set,
    sets.district_elections_set,
    *PERSON_MODELS,
    turnout.district_turnout,
    *DISTRICT_MODELS,
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """A lake with features and results, models and predictions for 2022, monitoring and the export."""
    folder: Path = tmp_path_factory.mktemp("modeling")
    with pytest.MonkeyPatch.context() as environment, dg.DagsterInstance.local_temp(str(folder)) as instance:
        environment.setenv("MLOPS_ASSETS_HOME", str(folder / "home"))
        environment.chdir(folder)
        for year in ("2016", "2018", "2020", "2022"):
            for state in ("GA", "NC"):
                materialize([persons], f"{year}|{state}", instance)
            materialize([districts], year, instance)
            if year != "2022":
                materialize([results], year, instance)
        materialize([segments], "2022", instance)
        materialize([sets.person_turnout_set, *PERSON_MODELS], "2022", instance)
        materialize([sets.district_elections_set, *DISTRICT_MODELS], "2022", instance)
        for state in ("GA", "NC"):
            materialize([turnout.district_turnout], f"2022|{state}", instance)
        materialize([monitor.monitoring], "2022", instance)
        for export in SERVED:
            if export.automate:
                materialize([export.asset()], None, instance)
        yield instance


def materialize(
    assets: Sequence[dg.AssetsDefinition],
    partition: str | None,
    instance: dg.DagsterInstance,
    *,
    raise_on_error: bool = True,
) -> dg.ExecuteInProcessResult:
    own = {key for asset in assets for key in asset.keys}
    others = [spec for asset in MADE for spec in asset.specs if spec.key not in own]
    bare = [dg.AssetSpec(spec.key, partitions_def=spec.partitions_def) for spec in others]
    return dg.materialize(
        [*assets, *bare],
        partition_key=partition,
        instance=instance,
        selection=[asset.key for asset in assets],
        raise_on_error=raise_on_error,
    )


def rows_of(contract: Contract, key: str) -> list[dict[str, Any]]:
    """The rows of a partition that are visible now."""
    with LakeSession(Settings.load()) as session:
        entries = ledger.current(session, contract, [key])
        rows: list[dict[str, Any]] = published_table(session, contract, entries, version=0).to_pyarrow().to_pylist()
        return rows


def publish_rows(contract: Contract, key: str, rows: pa.Table) -> None:
    """Publish a partition as another process would, without a run in this one."""
    with LakeSession(Settings.load()) as session, lease(session, contract.lake.name) as attempt:
        columns = rules.columns_of(contract)
        file = stage(session, contract, as_ibis(session, rows, columns), attempt=attempt)
        values = contract.partition_values(key)
        (found,) = audit.audit(session, contract, [audit.Candidate(file=file, partition=values, reference=Reference())])
        assert not found.stops
        replaced = ledger.current_version(session, contract, key)
        record = ledger.PublishRecord(
            publish_id=uuid.uuid4().hex,
            asset=contract.key.to_user_string(),
            partition=key,
            run_id="another",
            code_version="1",
            package_version="0",
            environment="another",
            columns=list(columns),
            content_hash=str(found.content_hash),
            rows=rows.num_rows,
            bytes=file.bytes,
            inputs={},
            checks=[],
            published_at=time.time(),
        )
        publish(session, contract, Replacement(partition=values, staged=file, record=record, instead_of=replaced))


def metadata_of(instance: dg.DagsterInstance, contract: Contract) -> Mapping[str, Any]:
    """Metadata of the table's last materialization."""
    event = instance.get_latest_materialization_event(contract.key)
    assert event is not None
    assert event.asset_materialization is not None
    return {name: entry.value for name, entry in event.asset_materialization.metadata.items()}


@pytest.mark.usefixtures("lake")
def test_the_export_holds_every_district_of_all_measures() -> None:
    with open_export(Settings.load().exports / "predictions") as opened:
        rows = opened.connection.execute(
            "SELECT measure, count(*), min(value), max(value), count(DISTINCT model_version) FROM predictions "
            "GROUP BY measure ORDER BY measure"
        ).fetchall()
        provenance = opened.manifest.provenance
    assert [(row[0], row[1], row[4]) for row in rows] == [
        ("democratic_share", 27, 1),
        ("total_votes", 27, 1),
        ("turnout", 12, 1),
    ]
    assert all(0 <= row[2] < row[3] for row in rows)
    hashes = provenance["content_hashes"]
    assert isinstance(hashes, dict)
    assert hashes.keys() == {contract.key.to_user_string() for contract in PREDICTIONS.tables}


@pytest.mark.usefixtures("lake")
def test_the_exports_of_models_hold_those_behind_the_predictions_ready_to_be_loaded() -> None:
    settings = Settings.load()
    trusted = read_keys(settings.model_keys)
    with open_export(settings.exports / "predictions", trusted=trusted) as opened:
        predicted = dict(opened.connection.execute("SELECT DISTINCT model_version, model_name FROM predictions"))
    loaded: dict[str, str] = {}
    for name in set(predicted.values()):
        with open_export(settings.exports / f"{name}_model", trusted=trusted) as opened:
            loaded |= {model.version: model.name for model in LoadedModels(opened, trusted).latest}
    assert loaded == predicted


@pytest.mark.usefixtures("lake")
def test_features_of_persons_are_what_models_may_read_and_nothing_more() -> None:
    with LakeSession(Settings.load()) as session:
        contract = features.PERSON_TURNOUT
        PERSON_FEATURES.renew(session, [contract])
        read = current_table(session, models.PERSON_TURNOUT).to_pyarrow().sort_by("election").to_pylist()[-1]
    columns = [column.name for column in ModelRecord.of_row(read).inputs]
    with open_export(Settings.load().exports / "person_features") as opened:
        record = opened.manifest.tables["person_features"]
        elections = opened.connection.execute("SELECT DISTINCT election FROM person_features").fetchall()
    assert {"state", "person_token", *columns} <= record.columns.keys()
    assert not {"voted", "district", "county"} & record.columns.keys()
    assert record.rows > 0
    assert len(elections) == 1


def test_an_unchanged_lake_gives_the_same_export(lake: dg.DagsterInstance) -> None:
    with open_export(Settings.load().exports / "predictions") as opened:
        before = opened.manifest.export_id
    materialize([turnout.district_turnout], "2022|NC", lake)
    result = materialize([PREDICTIONS.asset()], None, lake)
    [event] = result.asset_materializations_for_node("served__predictions")
    assert event.metadata["export_id"].value == before


def test_a_training_set_records_what_it_read_and_nothing_of_the_forecast_itself(lake: dg.DagsterInstance) -> None:
    for contract in (training.PERSON_TURNOUT, training.DISTRICT_ELECTIONS):
        shown = metadata_of(lake, contract)
        # Segments are made for a forecast, and of earlier elections likewise.
        made_for_it = shown["inputs"].get("segments", {}).get("partitions", {})
        read = {key for name, entry in shown["inputs"].items() if name != "segments" for key in entry["partitions"]}
        assert set(made_for_it) <= {"2022"}
        assert read
        assert all(key.split("|")[0] < "2022" for key in read)
        assert set(shown["input_snapshots"]) == set(shown["inputs"])
        assert all(version > 0 for version in shown["input_snapshots"].values())


@pytest.mark.usefixtures("lake")
def test_a_model_names_its_training_set_and_says_what_it_was_chosen_by() -> None:
    for contract, source in (
        (models.PERSON_TURNOUT, training.PERSON_TURNOUT),
        (models.DISTRICT_SHARE, training.DISTRICT_ELECTIONS),
    ):
        [row] = rows_of(contract, "2022")
        with LakeSession(Settings.load()) as session:
            [entry] = ledger.current(session, source, ["2022"]).values()
        assert row["training_set"] == entry.record.content_hash
        assert json.loads(row["parameters"])["choice"]["form"] == row["form"]


def test_a_model_can_be_rebuilt_byte_by_byte_from_the_snapshots_it_names_after_later_data_arrived(
    lake: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LakeSession(Settings.load()) as session:
        [made] = ledger.current(session, training.DISTRICT_ELECTIONS, ["2022"]).values()
    [before] = rows_of(models.DISTRICT_VOTES, "2022")
    revised = returns(first=2008, seed=2)
    with monkeypatch.context() as late:
        late.setattr(f"{__name__}.RETURNS", revised)
        materialize([results], "2020", lake)
        materialize([districts], "2020", lake)
    with LakeSession(Settings.load()) as session:
        contracts = {"districts": features.DISTRICT_ELECTION, "results": wrangled.HOUSE_RESULTS}
        then = {
            name: published_table(
                session, contract, recorded_contents(session, contract, made.record.inputs[name].partitions), version=0
            )
            for name, contract in contracts.items()
        }
        rebuilt = ibis.memtable(district_elections(then["districts"], then["results"], "2022").to_pyarrow())
        now = published_table(
            session, wrangled.HOUSE_RESULTS, ledger.current(session, wrangled.HOUSE_RESULTS, ["2020"]), version=0
        ).to_pyarrow()
        known = then["results"].filter(then["results"].election == "2020").to_pyarrow()
    assert sum(now.column("total_votes").to_pylist()) != sum(known.column("total_votes").to_pylist())
    evaluation = evaluation_table("2022", evaluate(VOTES, rebuilt, "2022"))
    found = evidence_in(ibis.memtable(evaluation), level="district", metric=VOTES.metric)
    rows = labelled_rows(VOTES, rebuilt, "2022")
    again = train(VOTES, rows, "2022", found, training_set=before["training_set"]).record.row()
    assert [again[name] for name in ("version", "onnx_base64")] == [before[name] for name in ("version", "onnx_base64")]
    # By what the next candidate is measured comes from the promotions before, not from the training.
    learned = {name: value for name, value in json.loads(before["parameters"]).items() if name != REFERENCE}
    assert json.loads(str(again["parameters"])) == learned
    materialize([results], "2020", lake)
    materialize([districts], "2020", lake)


def test_data_that_arrive_while_a_run_is_under_way_do_not_leak_into_it(lake: dg.DagsterInstance) -> None:
    read: list[pa.Table] = []
    of_2018 = Partition("2018", {"election": "2018"})

    @asset(
        contract=training.DISTRICT_ELECTIONS,
        ins={"results": ins_of(sets.district_elections_set)["results"]},
    )
    def slow(results: ir.Table) -> ir.Table:
        later = returns(first=2008, seed=3).results
        publish_rows(
            wrangled.HOUSE_RESULTS, "2018", as_results(_rows_of(later, Partition("2018", {"election": "2018"})))
        )
        read.append(results.filter(results.election == "2018").to_pyarrow())
        return results.limit(0)

    materialize([slow], "2022", lake, raise_on_error=False)
    [seen] = read
    ours = _rows_of(RETURNS.results, of_2018).column("total_votes")
    assert pc.sum(seen.column("total_votes")).as_py() == pc.sum(ours).as_py()
    assert sum(row["total_votes"] for row in rows_of(wrangled.HOUSE_RESULTS, "2018")) != pc.sum(ours).as_py()
    materialize([results], "2018", lake)


def test_the_page_of_a_model_shows_its_card_its_explanation_and_its_plots(lake: dg.DagsterInstance) -> None:
    shown = metadata_of(lake, models.PERSON_TURNOUT)
    assert "**Not for**: decisions about single persons" in shown["model_card"]
    assert shown["importance"].records[0].data["column"] in {
        "voted_last",
        "voted_second_last",
        "age",
    }
    for plot in ("reliability", "groups"):
        assert re.match(r"!\[.+\]\(data:image/png;base64,iVBOR[A-Za-z0-9+/=]+\)$", shown[plot])
        assert len(shown[plot]) < 40_000
    names = [record.data["estimator"] for record in shown["errors_unseen"].records]
    assert {"baseline", "linear", "boosted", "same_as_last_time", "same_as_segment"} <= set(names)
    assert "**Segments** (errors only, no input): age_group: it tells most." in shown["model_card"]
    assert {"age_group=18-44", "age_group=45+"} <= {r.data["segment"] for r in shown["error_by_segment"].records}


@pytest.mark.usefixtures("lake")
def test_evaluations_tell_errors_by_group_and_of_every_form() -> None:
    rows = rows_of(models.PERSON_TURNOUT_EVALUATION, "2022")
    assert {"gender=FEMALE", "age=45-64", "predicted=0.5", "state=NC"} <= {row["segment"] for row in rows}
    assert {"baseline", "linear", "boosted", "model", "same_as_last_time"} <= {row["estimator"] for row in rows}


@pytest.mark.usefixtures("lake")
def test_monitoring_estimates_before_the_outcome_and_measures_after_it(lake: dg.DagsterInstance) -> None:
    before = rows_of(predictions.MONITORING, "2022")
    assert {row["known_by"] for row in before} == {"estimate"}
    assert {row["measure"] for row in before} == {"turnout", "total_votes", "democratic_share"}
    known = as_results(returns(first=2008, known_until=2022).results)

    @asset(contract=wrangled.HOUSE_RESULTS)
    def arrived(partition: Partition) -> pa.Table:
        return _rows_of(known, partition)

    materialize([arrived], "2022", lake)
    materialize([monitor.monitoring], "2022", lake)
    measured = {
        (row["measure"], row["metric"]): row["value"]
        for row in rows_of(predictions.MONITORING, "2022")
        if row["known_by"] == "outcome" and row["segment"] == "all"
    }
    assert measured["democratic_share", "interval_coverage"] > 0.5
    happened = {(r["state"], r["district"]): r["total_votes"] for r in known.to_pylist() if r["election"] == "2022"}
    errors = [
        abs(row["value"] - happened[row["state"], row["district"]])
        for row in rows_of(predictions.DISTRICT_VOTES, "2022")
    ]
    assert measured["total_votes", "mean_absolute_error"] == pytest.approx(sum(errors) / len(errors), rel=1e-6)


@pytest.mark.usefixtures("lake")
def test_predictions_name_the_features_and_the_model_they_were_made_from() -> None:
    with open_export(Settings.load().exports / "predictions") as opened:
        versions = {row[0] for row in opened.connection.execute("SELECT DISTINCT features_version FROM predictions")}
        hashes = cast("dict[str, dict[str, str]]", opened.manifest.provenance["content_hashes"])
    assert len(versions) == 3
    assert all(version.startswith("v1:") for version in versions)
    assert set(hashes[predictions.DISTRICT_TURNOUT.key.to_user_string()]) == {"2022|GA", "2022|NC"}


@pytest.mark.usefixtures("lake")
def test_training_again_publishes_nothing_new(lake: dg.DagsterInstance) -> None:
    # Once after whatever its inputs were meanwhile, and again with nothing new.
    materialize([turnout.person_turnout], "2022", lake)
    result = materialize([turnout.person_turnout], "2022", lake)
    [event] = result.asset_materializations_for_node("models__person_turnout")
    assert event.metadata["adopted"].value is True


def test_a_candidate_that_errs_more_is_refused_with_the_reason_and_the_promoted_model_stands(
    lake: dg.DagsterInstance,
) -> None:
    before = rows_of(models.PERSON_TURNOUT, "2022")
    worse = PERSONS.table.set_column(
        PERSONS.table.column_names.index("voted_last"), "voted_last", PERSONS.table.column("voted_third_last")
    )
    _publish_cells(worse)
    result = materialize(PERSON_MODELS, "2022", lake, raise_on_error=False)
    assert not result.success
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    refused = checks[models.NOT_WORSE]
    assert not refused.passed
    assert "the candidate's log_loss is" in str(refused.metadata["reason"].value)
    measured = refused.metadata["measured"].value
    assert isinstance(measured, dict)
    assert measured["candidate_error"] > 1.02 * measured["best_error"]
    assert not result.asset_materializations_for_node("models__person_turnout")
    assert rows_of(models.PERSON_TURNOUT, "2022") == before
    assert materialize([turnout.district_turnout], "2022|NC", lake).success
    _publish_cells(PERSONS.table)
    assert materialize(PERSON_MODELS, "2022", lake).success


def _publish_cells(persons: pa.Table) -> None:
    """Publish the training set that those persons give, as another process would."""
    earlier = persons.filter(pc.is_in(persons.column("election"), value_set=pa.array(["2016", "2018", "2020"])))
    cells = person_cells(ibis.memtable(earlier), "2022")
    publish_rows(training.PERSON_TURNOUT, "2022", cells.select(list(rules.columns_of(training.PERSON_TURNOUT))))


def test_an_export_without_predictions_fails_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "home"))
    result = dg.materialize(
        [PREDICTIONS.asset(), *(contract.spec() for contract in PREDICTIONS.tables)],
        selection=["served/predictions"],
        raise_on_error=False,
    )
    assert not result.success
    [failure] = result.get_step_failure_events()
    assert "Materialize at least one partition first" in str(failure.step_failure_data.error_display_string)


def test_the_location_loads_and_every_model_asset_follows_its_inputs() -> None:
    definitions = defs()
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    own = {
        key for key in graph.materializable_asset_keys if key.path[0] in {"training", "models", "predictions", "served"}
    }
    assert len(own) == 17
    by_hand = {key for key in own if graph.get(key).automation_condition is None}
    assert by_hand == {dg.AssetKey(["served", "person_features"])}


@pytest.mark.parametrize("forecast", FORECAST_YEARS)
def test_dagster_maps_only_earlier_results_to_a_model_and_only_its_own_features_to_a_prediction(forecast: str) -> None:
    for read in resolved(ins_of(sets.district_elections_set), {}, "an asset").values():
        assert max(str(key) for key in upstream_keys(read, training.DISTRICT_ELECTIONS, forecast)) < forecast
    _, model, predicted = VOTE_MODEL
    for read in resolved(ins_of(model), {}, "an asset").values():
        assert upstream_keys(read, models.DISTRICT_VOTES, forecast) == [forecast]
    for read in resolved(ins_of(predicted), {}, "an asset").values():
        assert upstream_keys(read, predictions.DISTRICT_VOTES, forecast) == [forecast]
    features_read, model_read = resolved(ins_of(turnout.district_turnout), {}, "an asset").values()
    assert upstream_keys(features_read, predictions.DISTRICT_TURNOUT, f"{forecast}|NC") == [f"{forecast}|NC"]
    assert upstream_keys(model_read, predictions.DISTRICT_TURNOUT, f"{forecast}|NC") == [forecast]
