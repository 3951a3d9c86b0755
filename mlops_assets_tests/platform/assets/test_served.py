"""What becomes of a declaration of something served: its asset, its export, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pa
import pytest

import mlops_assets as ma
from mlops_assets.platform.assets import exported
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.exports.export import current_manifests, open_export
from mlops_assets.platform.exports.manifest import Kind, Mode
from mlops_assets.platform.lake.tables import published_table
from mlops_assets.platform.security.model_keys import trusted_keys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry
    from mlops_assets.platform.lake.session import LakeSession

MONTHS = dg.StaticPartitionsDefinition(["2024-01", "2024-02", "2024-03"])
LAKE = ma.Lake("curated")


class Readings(pa.DataFrameModel):
    """Readings of machines."""

    month: dt.String
    machine: dt.Int64
    plant: dt.String
    heat: dt.Float64 = pa.Field(description="Degrees.")

    class Config:
        """One for each machine and month."""

        unique = ("month", "machine")


class Owners(pa.DataFrameModel):
    """Who owns a machine."""

    machine: dt.Int64 = pa.Field(unique=True)
    name: dt.String = pa.Field(metadata={"personal": True})


def made(key: str) -> dg.AssetsDefinition:
    @ma.asset(key=key, schema=Readings, lake=LAKE, partitions_def=MONTHS, metadata={"partition_expr": "month"})
    def readings(partition: ma.Partition) -> ir.Table:
        rows = [
            {"month": partition.key, "machine": number, "plant": "lyon" if number % 2 else "graz", "heat": number / 2}
            for number in range(10)
        ]
        return ibis.memtable(rows)

    return readings


@pytest.fixture(name="home", autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path))
    return tmp_path


def run(defs: dg.Definitions, *keys: str, months: tuple[str, ...] = ("2024-01", "2024-02")) -> None:
    """Materialize the tables of those keys for some months, then whatever is served."""
    job = defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        for month in months:
            selected = [dg.AssetKey.from_user_string(key) for key in keys]
            assert job.execute_in_process(instance=instance, partition_key=month, asset_selection=selected).success
        served = [key for key in job.asset_layer.executable_asset_keys if key.path[0] == "served"]
        assert job.execute_in_process(instance=instance, asset_selection=served).success


def test_a_served_table_becomes_a_signed_export_that_says_how_it_is_offered(home: Path) -> None:
    served = ma.Served(table="raw/readings", limit_by=["plant"], latest="month")
    run(ma.build_defs([made("raw/readings"), served], name="factory"), "raw/readings")
    with open_export(home / "exports" / "readings", trusted=trusted_keys(ma.Settings())) as export:
        record = export.manifest.tables["readings"]
        assert export.connection.execute("SELECT count(*), max(month) FROM readings").fetchone() == (20, "2024-02")
    assert record.key == ("month", "machine")
    assert record.columns == {
        "month": Kind.TEXT,
        "machine": Kind.INTEGER,
        "plant": Kind.TEXT,
        "heat": Kind.NUMBER,
    }
    assert record.served is not None
    assert record.served.mode is Mode.LIST
    assert record.served.scope == "readings:read"
    assert record.served.filters == ("month", "machine", "plant")
    assert record.served.descriptions == {"heat": "Degrees."}


def test_values_that_a_contract_lists_are_told_but_of_columns_that_limit(home: Path) -> None:
    class Listed(Readings):
        """Readings of two plants."""

        plant: dt.String = pa.Field(isin=["lyon", "graz"])
        machine: dt.Int64 = pa.Field(isin=range(10))
        heat: dt.Float64 = pa.Field(isin=[number / 2 for number in range(10)])

    @ma.asset(key="raw/listed", schema=Listed, lake=LAKE, partitions_def=MONTHS, metadata={"partition_expr": "month"})
    def listed(partition: ma.Partition) -> ir.Table:
        return ibis.memtable([{"month": partition.key, "machine": 1, "plant": "lyon", "heat": 0.5}])

    served = [ma.Served(table="raw/listed"), ma.Served(table="raw/listed", name="limited", limit_by=["plant"])]
    run(ma.build_defs([listed, *served], name="factory"), "raw/listed")
    told = {name: each.tables[name].served for each in current_manifests(home / "exports") for name in each.tables}
    assert told["listed"] is not None
    assert told["limited"] is not None
    assert told["listed"].values == {"machine": tuple(range(10)), "plant": ("graz", "lyon")}
    assert told["limited"].values == {"machine": tuple(range(10))}


def test_several_tables_are_served_as_one_and_the_newest_alone_where_that_is_asked_for(home: Path) -> None:
    class Other(Readings):
        """The same of another plant."""

    @ma.asset(key="raw/others", schema=Other, lake=LAKE, partitions_def=MONTHS, metadata={"partition_expr": "month"})
    def others(partition: ma.Partition) -> ir.Table:
        return ibis.memtable([{"month": partition.key, "machine": 77, "plant": "brno", "heat": 1.0}])

    served = ma.Served(
        table=["raw/readings", "raw/others"],
        name="all",
        mode=Mode.LOOKUP,
        latest="month",
        newest=1,
        columns=["month", "machine", "plant"],
    )
    run(ma.build_defs([made("raw/readings"), others, served], name="factory"), "raw/readings", "raw/others")
    [manifest] = current_manifests(home / "exports")
    assert manifest.tables["all"].rows == 11
    assert list(manifest.tables["all"].columns) == ["month", "machine", "plant"]
    hashes: Any = manifest.provenance["content_hashes"]
    assert set(hashes) == {"raw/readings", "raw/others"}


class Otherwise(Readings):
    """The same, with plants by number."""

    plant: dt.Int64


def test_tables_whose_columns_are_of_different_types_are_refused_by_name() -> None:
    @ma.asset(key="raw/others", schema=Otherwise, lake=LAKE)
    def others() -> ir.Table:
        raise AssertionError

    with pytest.raises(ContractError, match="column plant is int64 in raw/others and string in raw/readings"):
        ma.build_defs([made("raw/readings"), others, ma.Served(table=["raw/readings", "raw/others"])], name="factory")


def test_stored_rows_of_another_type_than_the_contracts_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(Readings):
        """The same of another plant."""

    @ma.asset(key="raw/others", schema=Other, lake=LAKE, partitions_def=MONTHS, metadata={"partition_expr": "month"})
    def others(partition: ma.Partition) -> ir.Table:
        return ibis.memtable([{"month": partition.key, "machine": 77, "plant": "brno", "heat": 1.0}])

    def stored(session: LakeSession, contract: Contract, entries: Mapping[str | None, Entry], version: int) -> ir.Table:
        found = published_table(session, contract, entries, version=version)
        return found.mutate(heat=found.heat.cast("string")) if contract.table == "others" else found

    monkeypatch.setattr(exported, "published_table", stored)
    served = ma.Served(table=["raw/readings", "raw/others"], name="all")
    defs = ma.build_defs([made("raw/readings"), others, served], name="factory")
    assert "column heat is string in raw/others and float64 in raw/readings" in failure(
        defs, "all", "raw/readings", "raw/others"
    )


def test_a_repeated_key_is_refused_by_the_names_of_its_columns_and_without_its_values() -> None:
    served = ma.Served(table="raw/readings", key=["month", "plant"])
    told = failure(ma.build_defs([made("raw/readings"), served], name="factory"), "readings", "raw/readings")
    assert "Table readings of an export: two rows have the same month, plant, its key." in told
    assert "lyon" not in told
    assert "graz" not in told


def failure(defs: dg.Definitions, name: str, *keys: str) -> str:
    """What is told of the export of that name, which fails once a month of those tables is there."""
    job = defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        selected = [dg.AssetKey.from_user_string(key) for key in keys]
        job.execute_in_process(instance=instance, partition_key="2024-01", asset_selection=selected)
        served = [dg.AssetKey(["served", name])]
        failed = job.execute_in_process(instance=instance, asset_selection=served, raise_on_error=False)
    [event] = failed.get_step_failure_events()
    data = event.step_failure_data
    return f"{data.user_failure_data} {data.error_display_string}"


def test_equal_rows_are_the_same_export(home: Path) -> None:
    defs = ma.build_defs([made("raw/readings"), ma.Served(table="raw/readings")], name="factory")
    run(defs, "raw/readings")
    [before] = current_manifests(home / "exports")
    run(defs, "raw/readings")
    [after] = current_manifests(home / "exports")
    assert before.export_id == after.export_id


def test_nothing_is_exported_before_something_is_published(home: Path) -> None:
    defs = ma.build_defs([made("raw/readings"), ma.Served(table="raw/readings")], name="factory")
    job = defs.resolve_implicit_global_asset_job_def()
    failed = job.execute_in_process(asset_selection=[dg.AssetKey(["served", "readings"])], raise_on_error=False)
    [event] = failed.get_step_failure_events()
    assert "nothing of raw/readings is published yet" in str(event.step_failure_data.user_failure_data)
    assert not list((home / "exports").glob("*/current"))


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"limit_by": ["plnt"]}, "its limit_by names plnt"),
        ({"latest": "hours"}, "its latest names hours"),
        ({"latest": "heat"}, "is not in its key"),
        ({"key": ["month", "maschine"]}, "its key names maschine"),
        ({"filters": ["colour"]}, "its filters names colour"),
        ({"filters": ["plant", "plant"]}, "name a column twice"),
        ({"columns": ["month"]}, "its key names machine"),
        ({"mode": Mode.LOOKUP, "filters": ["plant"]}, "look-up alone"),
        ({"scope": "Reading x"}, "its scope is"),
        ({"keep": 0}, "it keeps 0 exports"),
        ({"newest": 1}, "newest counts values of latest"),
        ({"name": "My readings"}, "it is called"),
        ({"name": "models"}, "a table of the name models"),
        ({"table": []}, "it names no table"),
    ],
)
def test_a_declaration_that_does_not_fit_its_table_is_refused_when_definitions_are_built(
    options: dict[str, Any], culprit: str
) -> None:
    with pytest.raises(ContractError, match=culprit):
        ma.build_defs([made("raw/readings"), ma.Served(**{"table": "raw/readings", **options})], name="factory")


def test_personal_columns_are_never_served() -> None:
    restricted = ma.Lake("restricted", personal=True)

    @ma.asset(key="raw/owners", schema=Owners, lake=restricted)
    def owners() -> ir.Table:
        return ibis.memtable([{"machine": 1, "name": "Ann"}])

    with pytest.raises(ContractError, match="column name of raw/owners holds personal data"):
        ma.build_defs([owners, ma.Served(table="raw/owners", key=["machine"])], name="factory")
    ma.build_defs([owners, ma.Served(table="raw/owners", key=["machine"], columns=["machine"])], name="factory")


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({}, "has no column .*onnx_base64"),
        ({"weights": {"lastest": 1.0}}, "it names the version 'lastest'"),
        ({"shadow": ["nonsense"]}, "it names the version 'nonsense'"),
        ({"weights": {"latest": -1.0}}, "its weights are"),
        ({"weights": {}}, "its weights are"),
    ],
)
def test_models_that_cannot_be_served_as_declared_are_refused(options: dict[str, Any], culprit: str) -> None:
    def declared() -> None:
        served = ma.ServedModel(table="raw/readings", order_by="month", **options)
        ma.build_defs([made("raw/readings"), served], name="factory")

    with pytest.raises(ContractError, match=culprit):
        declared()
