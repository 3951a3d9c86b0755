"""The assets of modeling on a real lake: from published features to the service's export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mlops_assets.contracts import features, models, predictions, wrangled
from mlops_assets.contracts.partitions import FORECAST_YEARS
from mlops_assets.modeling.assets import district_votes as votes
from mlops_assets.modeling.assets import person_turnout as turnout
from mlops_assets.modeling.assets.export import export
from mlops_assets.modeling.definitions import defs
from mlops_assets.modeling.export import EXPORTED, published_predictions
from mlops_assets.platform.export import open_export
from mlops_assets.platform.lake import LakeSession
from mlops_assets.platform.published import Partition, published, reads_of
from mlops_assets.platform.reads import upstream_keys
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.modeling.districts import returns
from mlops_assets_tests.modeling.persons import electorate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PERSONS: Final = electorate(persons=2_000)
RETURNS: Final = returns(first=2008)
"""Elections 2008 to 2022, results known until 2020."""


def _rows_of(table: pa.Table, partition: Partition) -> pa.Table:
    for column, value in partition.values.items():
        table = table.filter(pc.equal(table.column(column), value))
    return table


@published(contract=features.PERSON_TURNOUT)
def persons(partition: Partition) -> pa.Table:
    """Persons of the small electorate."""
    return _rows_of(PERSONS.table, partition)


@published(contract=features.DISTRICT_ELECTION)
def districts(partition: Partition) -> pa.Table:
    """Districts of the small returns."""
    return _rows_of(RETURNS.features, partition)


@published(contract=wrangled.HOUSE_RESULTS)
def results(partition: Partition) -> pa.Table:
    """Results of the small returns."""
    rows = _rows_of(RETURNS.results, partition)
    none = pa.nulls(rows.num_rows, pa.int64())
    return (
        rows.append_column("democratic_votes", none)
        .append_column("republican_votes", none)
        .append_column("candidates", pa.array([2] * rows.num_rows, pa.int64()))
        .append_column("uncontested", pa.array([False] * rows.num_rows))
        .append_column("stage", pa.array(["GEN"] * rows.num_rows, pa.string()))
        .append_column("note", pa.array([""] * rows.num_rows, pa.string()))
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """A lake with features and results, models and predictions for 2022, and the export."""
    folder: Path = tmp_path_factory.mktemp("modeling")
    with pytest.MonkeyPatch.context() as environment, dg.DagsterInstance.local_temp(str(folder)) as instance:
        environment.setenv("MLOPS_ASSETS_HOME", str(folder / "home"))
        environment.chdir(folder)
        for year in ("2016", "2018", "2020", "2022"):
            for state in ("GA", "NC"):
                _materialize([persons], f"{year}|{state}", instance)
            _materialize([districts], year, instance)
            if year != "2022":
                _materialize([results], year, instance)
        _materialize([turnout.person_turnout, turnout.person_turnout_evaluation], "2022", instance)
        _materialize(
            [votes.district_votes_model, votes.district_votes_evaluation, votes.district_votes], "2022", instance
        )
        for state in ("GA", "NC"):
            _materialize([turnout.district_turnout], f"2022|{state}", instance)
        _materialize([export], None, instance)
        yield instance


def _materialize(
    assets: Sequence[dg.AssetsDefinition], partition: str | None, instance: dg.DagsterInstance
) -> dg.ExecuteInProcessResult:
    upstream = [persons, districts, results, turnout.person_turnout, turnout.district_turnout]
    upstream += [votes.district_votes_model, votes.district_votes]
    others = [spec for asset in upstream if asset not in assets for spec in asset.specs]
    bare = [dg.AssetSpec(spec.key, partitions_def=spec.partitions_def) for spec in others]
    return dg.materialize(
        [*assets, *bare], partition_key=partition, instance=instance, selection=[asset.key for asset in assets]
    )


@pytest.mark.usefixtures("lake")
def test_the_export_holds_every_district_of_both_measures() -> None:
    with open_export(Settings.load().exports) as opened:
        rows = opened.connection.execute(
            "SELECT measure, count(*), min(value), max(value), count(DISTINCT model_version) FROM predictions "
            "GROUP BY measure ORDER BY measure"
        ).fetchall()
        provenance = opened.manifest.provenance
    assert [(row[0], row[1], row[4]) for row in rows] == [("total_votes", 27, 1), ("turnout", 12, 1)]
    assert all(0 <= row[2] < row[3] for row in rows)
    hashes = provenance["content_hashes"]
    assert isinstance(hashes, dict)
    assert hashes.keys() == {contract.key.to_user_string() for contract in EXPORTED}


def test_an_unchanged_lake_gives_the_same_export(lake: dg.DagsterInstance) -> None:
    with open_export(Settings.load().exports) as opened:
        before = opened.manifest.export_id
    _materialize([turnout.district_turnout], "2022|NC", lake)
    result = _materialize([export], None, lake)
    [event] = result.asset_materializations_for_node("serving__export")
    assert event.metadata["export_id"].value == before


def test_a_model_records_only_elections_before_its_own_as_inputs(lake: dg.DagsterInstance) -> None:
    for contract in (models.PERSON_TURNOUT, models.DISTRICT_VOTES):
        event = lake.get_latest_materialization_event(contract.key)
        assert event is not None
        assert event.asset_materialization is not None
        inputs = event.asset_materialization.metadata["inputs"].value
        assert isinstance(inputs, dict)
        read = {key for entry in inputs.values() for key in entry["partitions"]}
        assert read
        assert all(key.split("|")[0] < "2022" for key in read)


@pytest.mark.usefixtures("lake")
def test_predictions_name_the_features_and_the_model_they_were_made_from() -> None:
    with LakeSession(Settings.load()) as session:
        found = published_predictions(session)
    versions = set(found.table.column("features_version").to_pylist())
    assert len(versions) == 3
    assert all(version.startswith("v1:") for version in versions)
    assert set(found.content_hashes[predictions.DISTRICT_TURNOUT.key.to_user_string()]) == {"2022|GA", "2022|NC"}


@pytest.mark.usefixtures("lake")
def test_training_again_publishes_nothing_new(lake: dg.DagsterInstance) -> None:
    result = _materialize([turnout.person_turnout], "2022", lake)
    [event] = result.asset_materializations_for_node("models__person_turnout")
    assert event.metadata["adopted"].value is True


def test_an_export_without_predictions_fails_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "home"))
    result = dg.materialize(
        [export, *(contract.spec() for contract in EXPORTED)], selection=[export.key], raise_on_error=False
    )
    assert not result.success
    [failure] = result.get_step_failure_events()
    assert "Materialize predictions of at least one election first" in str(
        failure.step_failure_data.error_display_string
    )


def test_the_location_loads_and_every_model_asset_follows_its_inputs() -> None:
    definitions = defs()
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    own = {key for key in graph.materializable_asset_keys if key.path[0] in {"models", "predictions", "serving"}}
    assert len(own) == 7
    assert all(graph.get(key).automation_condition is not None for key in own)


@pytest.mark.parametrize("forecast", FORECAST_YEARS)
def test_dagster_maps_only_earlier_results_to_a_model_and_only_its_own_features_to_a_prediction(forecast: str) -> None:
    for read in reads_of(votes.district_votes_model):
        assert max(str(key) for key in upstream_keys(read, models.DISTRICT_VOTES, forecast)) < forecast
    for read in reads_of(votes.district_votes):
        assert upstream_keys(read, predictions.DISTRICT_VOTES, forecast) == [forecast]
    features_read, model_read = reads_of(turnout.district_turnout)
    assert upstream_keys(features_read, predictions.DISTRICT_TURNOUT, f"{forecast}|NC") == [f"{forecast}|NC"]
    assert upstream_keys(model_read, predictions.DISTRICT_TURNOUT, f"{forecast}|NC") == [forecast]
