"""What we lean on upstream, pinned: a library's upgrade that changes it reports itself here.

Put here behaviour of Dagster, DuckLake, Ibis and pandera that the design relies on. Keep out our own behaviour.
"""

from __future__ import annotations

import sqlite3
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import duckdb
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import pandera.ibis as pandera
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from dagster._utils.warnings import BetaWarning
from pandera.api.ibis.types import IbisData
from pandera.backends.ibis import builtin_checks

from mlops_assets.platform.lake.session import LakeSession, extension_file
from mlops_assets_tests.platform.lake.test_publishing import publish_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets.platform.settings import Settings

# Importing it is what makes pandera's checks know Ibis.
REGISTERED = builtin_checks


def test_dagster_records_a_materialization_although_its_blocking_check_failed() -> None:
    """Hence our assets yield check results alone when a rule fails."""

    @dg.asset(check_specs=[dg.AssetCheckSpec("good", asset="table", blocking=True)])
    def table():  # type: ignore[no-untyped-def]  # noqa: ANN202  Dagster reads the annotation
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=False, check_name="good")])

    result = dg.materialize([table], raise_on_error=False)
    assert not result.success
    assert len(result.asset_materializations_for_node("table")) == 1


def test_dagster_fails_a_step_that_yields_failed_checks_and_no_output_and_does_not_retry_it() -> None:
    attempts: list[int] = []

    @dg.asset(
        output_required=False,
        check_specs=[dg.AssetCheckSpec(name, asset="table", blocking=True) for name in ("one", "two")],
        retry_policy=dg.RetryPolicy(max_retries=2),
    )
    def table():  # type: ignore[no-untyped-def]  # noqa: ANN202  Dagster reads the annotation
        attempts.append(1)
        yield dg.AssetCheckResult(passed=False, check_name="one")
        yield dg.AssetCheckResult(passed=True, check_name="two")

    result = dg.materialize([table], raise_on_error=False)
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_failure_data.error is not None
    assert failure.step_failure_data.error.cls_name == "DagsterAssetCheckFailedError"
    assert result.asset_materializations_for_node("table") == []
    assert len(result.get_asset_check_evaluations()) == 2
    assert len(attempts) == 1


def test_dagster_evaluates_automation_in_the_code_location_and_resolves_a_run_for_each_partition_there() -> None:
    """Hence our sensor puts them together in ``resolve_run_requests``."""
    days = dg.StaticPartitionsDefinition(["mo", "tu", "we"])

    @dg.asset(
        partitions_def=days,
        automation_condition=dg.AutomationCondition.missing(),
        backfill_policy=dg.BackfillPolicy.multi_run(100),
    )
    def table() -> None: ...

    class Sensor(dg.AutomationConditionSensorDefinition):
        def resolve_run_requests(self, run_requests: Any, *rest: Any) -> Any:  # noqa: ANN401
            resolved = super().resolve_run_requests(run_requests, *rest)
            return [resolved[0].with_replaced_attrs(partition_key=None, tags={"days": str(len(resolved))})]

    with warnings.catch_warnings(action="ignore", category=BetaWarning):
        sensor = Sensor("automation", target=[table], use_user_code_server=True, emit_backfills=False)
    defs = dg.Definitions(assets=[table], sensors=[sensor])
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance=instance, repository_def=defs.get_repository_def()) as context,
    ):
        found = sensor.evaluate_tick(context)
    [request] = found.run_requests or []
    assert request.asset_selection == [table.key]
    assert {name: request.tags[name] for name in ("days", "dagster/sensor_name")} == {
        "days": "3",
        "dagster/sensor_name": "automation",
    }
    assert [evaluation.true_subset.size for evaluation in found.automation_condition_evaluations] == [3]
    assert found.cursor


def test_dagster_reads_a_range_of_combined_partitions_as_a_product_of_each_dimensions_range() -> None:
    states = dg.StaticPartitionsDefinition(["nc", "oh", "wa"])
    days = dg.StaticPartitionsDefinition(["mo", "tu", "we"])
    combined = dg.MultiPartitionsDefinition({"day": days, "state": states})
    keys = combined.get_partition_keys_in_range(dg.PartitionKeyRange("mo|oh", "tu|wa"))
    assert [str(key) for key in keys] == ["mo|oh", "mo|wa", "tu|oh", "tu|wa"]


def test_dagster_knows_no_checks_of_a_table_that_is_a_spec_in_the_code_location() -> None:
    """Hence our sensor stands in an asset with the contract's checks for a table that another location makes."""
    defs = dg.Definitions(assets=[dg.AssetSpec("table")])
    assert defs.resolve_asset_graph().get(dg.AssetKey("table")).check_keys == set()


def test_dagster_carries_static_mappings_only_between_static_partitions() -> None:
    months = dg.MonthlyPartitionsDefinition("2021-01-01")
    elections = dg.StaticPartitionsDefinition(["2022"])
    mapping = dg.StaticPartitionMapping({"2021-01-01": "2022"})
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="StaticPartitionsDefinition"):
        mapping.validate_partition_mapping(months, elections)


@pytest.fixture
def lake(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    with LakeSession(settings) as session:
        session.attach("curated")
        session.connection.execute("CREATE SCHEMA curated.s; CREATE TABLE curated.s.t (a BIGINT)")
        yield session.connection


def snapshots(connection: duckdb.DuckDBPyConnection) -> int:
    return len(connection.execute("FROM ducklake_snapshots('curated')").fetchall())


def test_ducklake_makes_no_version_for_a_transaction_that_changes_nothing(lake: duckdb.DuckDBPyConnection) -> None:
    """Hence an empty partition over an empty one leaves a comment on the table."""
    before = snapshots(lake)
    lake.execute("BEGIN; CALL curated.set_commit_message('me', 'nothing'); COMMIT")
    assert snapshots(lake) == before
    lake.execute("BEGIN; COMMENT ON TABLE curated.s.t IS 'x'; CALL curated.set_commit_message('me', 'some'); COMMIT")
    assert snapshots(lake) == before + 1


def test_ducklake_keeps_author_message_and_extra_information_in_its_catalog(lake: duckdb.DuckDBPyConnection) -> None:
    lake.execute(
        "BEGIN; INSERT INTO curated.s.t VALUES (1); "
        "CALL curated.set_commit_message('me', 'words', extra_info => '{\"k\": 1}'); COMMIT"
    )
    found = lake.execute(
        "SELECT author, commit_message, commit_extra_info "
        "FROM __ducklake_metadata_curated.ducklake_snapshot_changes ORDER BY snapshot_id DESC LIMIT 1"
    ).fetchone()
    assert found == ("me", "words", '{"k": 1}')


def test_ducklake_adds_files_in_place_and_a_delete_of_whole_files_leaves_no_delete_files(
    lake: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    file = tmp_path / "part.parquet"
    lake.execute(f"COPY (SELECT 7::BIGINT AS a) TO '{file}'")
    lake.execute(f"CALL ducklake_add_data_files('curated', 't', '{file}', schema => 's')")
    assert lake.execute("FROM curated.s.t").fetchall() == [(7,)]
    lake.execute("DELETE FROM curated.s.t WHERE a = 7")
    assert lake.execute("FROM curated.s.t").fetchall() == []
    assert file.exists()
    deletes = lake.execute("SELECT count(*) FROM __ducklake_metadata_curated.ducklake_delete_file").fetchone()
    assert deletes == (0,)


def test_ducklake_reads_a_file_to_delete_some_of_a_table_and_none_to_delete_all(
    lake: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """Hence a partition whose file is lost cannot be replaced, and the whole table can."""
    file = tmp_path / "part.parquet"
    lake.execute(f"COPY (SELECT 7::BIGINT AS a) TO '{file}'")
    lake.execute(f"CALL ducklake_add_data_files('curated', 't', '{file}', schema => 's')")
    file.unlink()
    with pytest.raises(duckdb.IOException, match=str(file)):
        lake.execute("DELETE FROM curated.s.t WHERE a = 7")
    lake.execute("DELETE FROM curated.s.t")
    assert lake.execute("FROM curated.s.t").fetchall() == []


def test_ducklake_merges_the_files_of_different_partitions(settings: Settings) -> None:
    """Hence nothing merges files: no file would hold one partition any more."""
    for week in ("w1", "w2"):
        publish_rows(settings, week, [1], week)
    with LakeSession(settings) as session:
        session.attach("curated")
        session.connection.execute("CALL ducklake_merge_adjacent_files('curated')")
        files = "FROM ducklake_list_files('curated', 'yields', schema => 'wrangled')"
        assert len(session.connection.execute(files).fetchall()) == 1


def test_ducklake_reads_files_to_delete_all_rows_of_a_table_and_none_to_drop_it(settings: Settings) -> None:
    """Hence a repair drops the table: an engine that has not read the file before cannot empty it."""
    publish_rows(settings, "w1", [1], "w1")
    with LakeSession(settings) as session:
        session.attach("curated")
        connection = session.connection
        [(file,)] = connection.execute(
            "SELECT data_file FROM ducklake_list_files('curated', 'yields', schema => 'wrangled')"
        ).fetchall()
        Path(file).unlink()
        connection.execute("SET GLOBAL enable_external_file_cache = false")
        connection.execute("SET GLOBAL enable_external_file_cache = true")
        with pytest.raises(duckdb.Error, match="Cannot open file"):
            connection.execute("DELETE FROM curated.wrangled.yields")
        connection.execute("DROP TABLE curated.wrangled.yields")


def test_an_embedded_catalog_is_in_wal_mode(lake: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    del lake
    with sqlite3.connect(settings.lake_catalog_path("curated")) as catalog:
        assert catalog.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    catalog.close()


@pytest.mark.parametrize("name", ["ducklake", "sqlite_scanner", "postgres_scanner"])
def test_extensions_come_from_wheels_for_this_very_version_of_duckdb(name: str) -> None:
    assert f"v{duckdb.__version__}" in extension_file(name).parts


TABLE = ibis.table({"a": "int64"}, name="t")


def test_panderas_built_in_checks_project_one_expression_of_the_table() -> None:
    check = pandera.Check.ge(1)
    outcome = check._check_fn(IbisData(TABLE, "a"), **check._check_kwargs)
    projection = outcome.op()
    assert isinstance(projection, ops.Project)
    assert projection.parent == TABLE.op()
    assert len(projection.values) == 1


def test_pandera_on_ibis_passes_a_column_that_is_declared_unique_and_is_not() -> None:
    """Hence keys are a rule of our own."""
    schema = pandera.DataFrameSchema({"a": pandera.Column(dt.Int64, unique=True)})
    doubled = ibis.memtable({"a": [1, 1]})
    assert schema.validate(doubled).count().to_pyarrow().as_py() == 2


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        *((pattern, True) for pattern in (r"\d{4}-[[:alpha:]]+\p{L}", "(?i)a|b", "(?P<name>a)", "a{1000}", r"\bé$")),
        *((pattern, False) for pattern in ("(?=a)", "(?<!a)b", r"(a)\1", "a{1001}", "a**", "[b-a]", "(a", r"\y")),
    ],
)
def test_arrow_and_duckdb_take_the_same_regular_expressions(pattern: str, *, taken: bool) -> None:
    """Hence a contract's patterns are refused without the engine."""

    def by_arrow() -> None:
        pc.match_substring_regex(pa.array([""]), pattern)

    def by_duckdb() -> None:
        duckdb.execute("SELECT regexp_matches('', ?)", [pattern])

    for match, refusal in ((by_arrow, pa.ArrowInvalid), (by_duckdb, duckdb.InvalidInputException)):
        with nullcontext() if taken else pytest.raises(refusal):
            match()


def test_a_duckdb_sum_is_wider_than_ibis_says() -> None:
    """Hence staged columns are cast to the contract's types."""
    backend = ibis.duckdb.connect()
    total = backend.sql("SELECT sum(i) AS total FROM range(3) t(i)")
    described = backend.con.execute("DESCRIBE SELECT sum(i) AS total FROM range(3) t(i)").fetchone()
    assert described is not None
    assert described[1] == "HUGEINT"
    assert str(total.total.type()) != "int64"
    assert str(ibis.table({"i": "int64"}, name="x").i.sum().type()) == "int64"
