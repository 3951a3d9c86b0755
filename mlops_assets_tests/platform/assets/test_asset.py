"""The asset decorator: Dagster's parameters and habits hold, and what cannot be enforced is refused when declared."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandas as pd
import pandera.ibis as pandera
import polars as pl
import pyarrow as pa
import pytest

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.definitions import build_defs
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract

SHOP: Final = Lake("shop")
OURS: Final = {"schema", "lake", "subject", "volume", "quarantine", "contract"}


class Sales(pandera.DataFrameModel):
    """One row for each day and till."""

    day: dt.String
    till: dt.String
    amount: dt.Float64 = pandera.Field(ge=0)

    class Config:
        """Keyed by day and till."""

        unique = ("day", "till")


class Total(pandera.DataFrameModel):
    """One row."""

    amount: dt.Float64


def sold(day: str, till: str = "north", amount: float = 1.0) -> ir.Table:
    """One sale."""
    return ibis.memtable({"day": [day], "till": [till], "amount": [amount]})


def contract_of(definition: dg.AssetsDefinition) -> Contract:
    """The contract that the decorator has made."""
    from mlops_assets.platform.assets.inputs import contract_of as found  # noqa: PLC0415  the same name

    contract = found(definition)
    assert contract is not None
    return contract


def rows(definition: dg.AssetsDefinition) -> list[dict[str, Any]]:
    """What is published of the asset's table, sorted by its columns."""
    with LakeSession(Settings.load()) as session:
        table = current_table(session, contract_of(definition))
        found: list[dict[str, Any]] = table.order_by(table.columns).to_pyarrow().to_pylist()
        return found


def parameters(function: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """The named parameters."""
    return {
        name: each for name, each in inspect.signature(function).parameters.items() if each.kind is each.KEYWORD_ONLY
    }


def test_every_parameter_of_dagsters_decorator_is_there_with_its_default() -> None:
    theirs = parameters(dg.asset)
    mine = parameters(asset)
    assert {name: each.default for name, each in mine.items() if name not in OURS} == {
        name: each.default for name, each in theirs.items()
    }


def test_no_parameter_is_added_but_those_that_say_what_is_published_where() -> None:
    assert set(parameters(asset)) - set(parameters(dg.asset)) == OURS


@pytest.mark.parametrize("parameter", sorted(parameters(asset)))
def test_every_parameter_is_documented(parameter: str) -> None:
    assert f"\n    {parameter}: " in f"\n{inspect.getdoc(asset)}"


GIVEN: Final[Mapping[str, tuple[object, Callable[[dg.AssetsDefinition], object]]]] = {
    "metadata": ({"source": "till"}, lambda made: {"source": made.metadata_by_key[made.key]["source"]}),
    "tags": ({"team": "shop"}, lambda made: {"team": made.tags_by_key[made.key]["team"]}),
    "description": ("What was sold.", lambda made: made.descriptions_by_key[made.key]),
    "required_resource_keys": ({"scale"}, lambda made: made.op.required_resource_keys & {"scale"}),
    "op_tags": ({"cpu": "2"}, lambda made: {"cpu": made.op.tags["cpu"]}),
    "group_name": ("tills", lambda made: made.group_names_by_key[made.key]),
    "freshness_policy": (
        dg.FreshnessPolicy.cron(deadline_cron="0 6 * * *", lower_bound_delta=timedelta(hours=1)),
        lambda made: made.get_asset_spec().freshness_policy,
    ),
    "retry_policy": (dg.RetryPolicy(max_retries=3), lambda made: made.op.retry_policy),
    "code_version": ("7", lambda made: made.code_versions_by_key[made.key]),
    "owners": (["team:shop"], lambda made: list(made.owners_by_key[made.key])),
    "kinds": ({"csv"}, lambda made: set(made.get_asset_spec().kinds)),
    "pool": ("tills", lambda made: made.op.pool),
}


@pytest.mark.parametrize("parameter", sorted(GIVEN))
def test_what_dagster_is_told_about_an_asset_reaches_it(parameter: str) -> None:
    given, seen = GIVEN[parameter]

    @asset(key="raw/sales", schema=Sales, lake=SHOP, **{parameter: given})  # type: ignore[arg-type]
    def sales() -> ir.Table:
        return sold("2024-01-01")

    assert seen(sales) == given


class Rate(dg.Config):
    """What an amount is multiplied by."""

    rate: float = 1.0


class Scale(dg.ConfigurableResource[Any]):
    """A resource of a team's own."""

    weight: float


def test_config_and_resources_reach_the_function_as_they_reach_any_asset() -> None:
    @asset(key="raw/sales", schema=Sales, lake=SHOP)
    def sales(context: dg.AssetExecutionContext, config: Rate, scale: Scale) -> ir.Table:
        assert context.asset_key == dg.AssetKey(["raw", "sales"])
        return sold("2024-01-01", amount=config.rate * scale.weight)

    done = dg.materialize(
        [sales],
        resources={"scale": Scale(weight=3.0)},
        run_config={"ops": {"raw__sales": {"config": {"rate": 2.0}}}},
    )
    assert done.success
    assert rows(sales) == [{"day": "2024-01-01", "till": "north", "amount": 6.0}]


def test_config_by_schema_and_resources_by_key_come_with_the_context() -> None:
    @asset(key="raw/sales", schema=Sales, lake=SHOP, config_schema={"rate": float}, required_resource_keys={"scale"})
    def sales(context: dg.AssetExecutionContext) -> ir.Table:
        return sold("2024-01-01", amount=context.op_execution_context.op_config["rate"] * context.resources.scale)

    done = dg.materialize(
        [sales],
        resources={"scale": dg.ResourceDefinition.hardcoded_resource(3.0)},
        run_config={"ops": {"raw__sales": {"config": {"rate": 2.0}}}},
    )
    assert done.success
    assert rows(sales)[0]["amount"] == 6.0


def test_an_input_of_dagsters_own_comes_from_its_io_manager() -> None:
    @dg.asset
    def rate() -> float:
        return 4.0

    @asset(key="raw/sales", schema=Sales, lake=SHOP, ins={"factor": dg.AssetIn("rate")})
    def sales(factor: float) -> ir.Table:
        return sold("2024-01-01", amount=factor)

    assert dg.materialize([rate, sales]).success
    assert rows(sales)[0]["amount"] == 4.0


def test_an_asset_that_must_come_before_is_not_read() -> None:
    @dg.asset
    def till_closed() -> None: ...

    @asset(key="raw/sales", schema=Sales, lake=SHOP, deps=[till_closed])
    def sales() -> ir.Table:
        return sold("2024-01-01")

    assert sales.asset_deps[sales.key] == {till_closed.key}
    assert dg.materialize([till_closed, sales]).success


PARTITIONED: Final[Mapping[str, tuple[dg.PartitionsDefinition[str], Mapping[str, object], str]]] = {
    "days": (dg.DailyPartitionsDefinition("2024-01-01"), {"partition_expr": "day"}, "2024-01-02"),
    "months": (dg.MonthlyPartitionsDefinition("2024-01", fmt="%Y-%m"), {"partition_expr": "day"}, "2024-02"),
    "listed": (dg.StaticPartitionsDefinition(["a", "b"]), {"partition_expr": "day"}, "b"),
    "dynamic": (dg.DynamicPartitionsDefinition(name="days"), {"partition_expr": "day"}, "2024-01-02"),
    "two of those": (
        dg.MultiPartitionsDefinition(
            {"day": dg.DailyPartitionsDefinition("2024-01-01"), "till": dg.StaticPartitionsDefinition(["north"])}
        ),
        {},
        "2024-01-02|north",
    ),
    "two, named otherwise": (
        dg.MultiPartitionsDefinition(
            {"when": dg.DynamicPartitionsDefinition(name="days"), "where": dg.StaticPartitionsDefinition(["north"])}
        ),
        {"partition_expr": {"when": "day", "where": "till"}},
        "2024-01-02|north",
    ),
}


@pytest.mark.parametrize("kind", sorted(PARTITIONED))
def test_every_kind_of_partition_is_published_and_read_downstream(kind: str) -> None:
    partitions, metadata, key = PARTITIONED[kind]

    @asset(key="raw/sales", schema=Sales, lake=SHOP, partitions_def=partitions, metadata=metadata)
    def sales(partition: Partition) -> ir.Table:
        return sold(partition.values["day"])  # noqa: PD011  of no frame

    @asset(
        key="wrangled/doubled",
        schema=Sales,
        lake=SHOP,
        partitions_def=partitions,
        metadata=metadata,
        ins={"sales": In(sales)},
    )
    def doubled(sales: ir.Table) -> ir.Table:
        return sales.mutate(amount=sales.amount * 2)

    @asset(key="wrangled/total", schema=Total, lake=SHOP, ins={"sales": In(sales, window="all")})
    def total(sales: ir.Table) -> ir.Table:
        return sales.aggregate(amount=sales.amount.sum())

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("days", ["2024-01-02"])
        assert dg.materialize([sales, doubled], partition_key=key, instance=instance).success
        assert dg.materialize([sales, total], selection=[total], instance=instance).success
    assert rows(doubled) == [{"day": key.split("|")[0], "till": "north", "amount": 2.0}]
    assert rows(total) == [{"amount": 1.0}]


def test_a_partition_column_that_is_not_named_is_asked_for() -> None:
    with pytest.raises(ContractError, match="partition_expr"):

        @asset(key="raw/sales", schema=Sales, lake=SHOP, partitions_def=dg.DailyPartitionsDefinition("2024-01-01"))
        def sales() -> ir.Table:
            return sold("2024-01-01")


def test_an_input_may_be_named_by_its_key_where_the_asset_is_among_the_definitions() -> None:
    @asset(key="raw/sales", schema=Sales, lake=SHOP)
    def sales() -> ir.Table:
        return sold("2024-01-01", amount=5.0)

    @asset(key="wrangled/total", schema=Total, lake=SHOP, ins={"sales": In("raw/sales")})
    def total(sales: ir.Table) -> ir.Table:
        return sales.aggregate(amount=sales.amount.sum())

    assert dg.materialize([sales, total]).success
    assert rows(total) == [{"amount": 5.0}]


def test_an_input_that_is_no_table_of_the_definitions_is_told_with_the_one_that_was_meant() -> None:
    @asset(key="raw/sales", schema=Sales, lake=SHOP)
    def sales() -> ir.Table:
        return sold("2024-01-01")

    @asset(key="wrangled/total", schema=Total, lake=SHOP, ins={"sales": In("raw/sale")})
    def total(sales: ir.Table) -> ir.Table:
        return sales.aggregate(amount=sales.amount.sum())

    failed = dg.materialize([sales, total], raise_on_error=False)
    [told] = [event.step_failure_data.user_failure_data for event in failed.get_step_failure_events()]
    assert told is not None
    assert "Did you mean 'raw/sales'?" in str(told.description)


def checked(*, passed: bool, blocking: bool) -> dg.AssetsDefinition:
    """An asset whose function judges a check of its own."""

    @asset(
        key="raw/sales",
        schema=Sales,
        lake=SHOP,
        check_specs=[dg.AssetCheckSpec("till_agrees", asset="raw/sales", blocking=blocking)],
    )
    def sales() -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(
            value=sold("2024-01-01"),
            metadata={"tills": 1},
            check_results=[dg.AssetCheckResult(passed=passed, check_name="till_agrees", metadata={"missing": 2.5})],
        )

    return sales


@pytest.mark.parametrize(
    ("passed", "blocking", "published"), [(True, True, True), (False, False, True), (False, True, False)]
)
def test_a_check_that_the_function_decides_keeps_the_rows_back_if_it_blocks(
    *, passed: bool, blocking: bool, published: bool
) -> None:
    made = checked(passed=passed, blocking=blocking)
    done = dg.materialize([made], raise_on_error=False)
    assert done.success is published
    [result] = [each for each in done.get_asset_check_evaluations() if each.check_name == "till_agrees"]
    assert result.passed is passed
    with LakeSession(Settings.load()) as session:
        assert bool(ledger.current(session, contract_of(made), [None])) is published
    if published:
        [event] = done.asset_materializations_for_node("raw__sales")
        assert event.metadata["tills"].value == 1


def test_what_a_check_of_the_function_says_of_itself_reaches_dagster() -> None:
    eager = dg.AutomationCondition.eager()
    said = dg.AssetCheckSpec("agrees", asset="raw/sales", metadata={"see": "tills"}, automation_condition=eager)

    @asset(key="raw/sales", schema=Sales, lake=SHOP, check_specs=[said])
    def sales() -> ir.Table:
        return sold("2024-01-01")

    [spec] = [each for each in sales.check_specs if each.name == "agrees"]
    assert spec.metadata["see"] == "tills"
    assert spec.automation_condition == eager
    assert spec.asset_key == sales.key


REFUSED: Final[Mapping[str, tuple[dict[str, Any], str]]] = {
    "no schema": ({"schema": None}, "it has no schema"),
    "no lake": ({"lake": None}, "it has no lake"),
    "a key of one part": ({"key": "sales"}, "there are two"),
    "a name beside a key": ({"name": "sold"}, "a name or key_prefix beside it"),
    "a contract beside its parts": ({"contract": orchard.YIELDS}, "beside its contract"),
    "an I/O manager": ({"io_manager_key": "files"}, "go to the lake"),
    "a type": ({"dagster_type": dg.Nothing}, "schema says what it holds"),
    "no output": ({"output_required": False}, "publishes nothing"),
    "a virtual asset": ({"is_virtual": True}, "a table is made"),
    "several partitions in a run": ({"backfill_policy": dg.BackfillPolicy.single_run()}, "several partitions"),
    "an input that the function does not take": (
        {"ins": {"orders": In("raw/orders")}},
        "no parameters of the function",
    ),
    "an input that is a text": ({"ins": {"orders": "raw/orders"}}, "Declare it by ma.In"),
    "a misspelt parameter": ({"shema": Sales}, "Did you mean schema?"),
}


@pytest.mark.parametrize("what", sorted(REFUSED))
def test_what_cannot_be_enforced_is_refused_when_it_is_declared(what: str) -> None:
    given, told = REFUSED[what]
    declared: dict[str, Any] = {"key": "raw/sales", "schema": Sales, "lake": SHOP} | given
    with pytest.raises(ContractError) as refused:

        @asset(**declared)
        def sales() -> ir.Table:
            return sold("2024-01-01")

    assert told in str(refused.value)


UNREADABLE: Final[Mapping[str, tuple[dict[str, Any], str]]] = {
    "a mapping and all": ({"partition_mapping": dg.AllPartitionMapping(), "window": "all"}, "do not go together"),
    "back and further ones": ({"back": 1, "also": dg.AllPartitionMapping()}, "back and also do not go together"),
    "the latest and a choice": ({"window": "latest", "choose": lambda _, keys: keys}, "do not go together"),
    "back below 1": ({"back": -1}, "Count back from 1"),
}


@pytest.mark.parametrize("what", sorted(UNREADABLE))
def test_an_input_that_says_two_things_is_refused_when_it_is_declared(what: str) -> None:
    given, told = UNREADABLE[what]
    with pytest.raises(ContractError, match=told):
        In("raw/sales", **given)


def test_the_first_parts_of_a_key_may_be_given_apart() -> None:
    @asset(key_prefix="raw", name="sold", schema=Sales, lake=SHOP)
    def sales() -> ir.Table:
        return sold("2024-01-01")

    assert sales.key == dg.AssetKey(["raw", "sold"])


def test_a_parameter_that_nobody_gives_is_refused_when_it_is_declared() -> None:
    with pytest.raises(ContractError, match="its parameters tills are neither inputs nor resources"):

        @asset(key="raw/sales", schema=Sales, lake=SHOP)
        def sales(tills: int) -> ir.Table:
            return sold("2024-01-01", amount=tills)


def test_the_decorator_without_parameters_says_what_it_needs() -> None:
    with pytest.raises(ContractError, match=r"Write @asset\(schema=\.\.\., lake=\.\.\.\)"):

        @asset
        def sales() -> ir.Table:
            return sold("2024-01-01")


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (dg.MaterializeResult(metadata={"tills": 1}), "has no value. Give the rows as value=."),
        (dg.MaterializeResult(value=1, data_version=dg.DataVersion("1")), "names a data_version"),
        (dg.MaterializeResult(value=1, asset_key="raw/other"), "is of another asset"),
    ],
)
def test_a_result_that_contradicts_what_is_published_is_told(result: dg.MaterializeResult[Any], told: str) -> None:
    @asset(key="raw/sales", schema=Sales, lake=SHOP)
    def sales() -> dg.MaterializeResult[Any]:
        return result

    failed = dg.materialize([sales], raise_on_error=False)
    [event] = failed.get_step_failure_events()
    assert event.step_failure_data.user_failure_data is not None
    assert told in str(event.step_failure_data.user_failure_data.description)


def test_a_blocking_check_that_fails_as_a_warning_keeps_nothing_back_and_needs_no_name_if_it_is_the_only_one() -> None:
    @asset(
        key="raw/sales",
        schema=Sales,
        lake=SHOP,
        check_specs=[dg.AssetCheckSpec("agrees", asset="raw/sales", blocking=True)],
    )
    def sales() -> dg.MaterializeResult[Any]:
        found = dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)
        return dg.MaterializeResult(value=sold("2024-01-01"), tags={"till": "north"}, check_results=[found])

    done = dg.materialize([sales])
    [event] = done.asset_materializations_for_node("raw__sales")
    assert event.tags is not None
    assert event.tags["till"] == "north"
    assert len(rows(sales)) == 1


@pytest.mark.parametrize("name", ["session", "settings", "versions", "partition"])
def test_a_resource_or_input_with_the_name_of_what_the_platform_gives_is_refused(name: str) -> None:
    def sales(**_given: object) -> ir.Table:
        return sold("2024-01-01")

    def signed(annotation: object) -> Callable[..., ir.Table]:
        parameter = inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation)
        vars(sales)["__signature__"] = inspect.Signature([parameter])
        return sales

    with pytest.raises(ContractError, match=f"its parameters {name} are inputs or resources"):
        asset(key="raw/sales", schema=Sales, lake=SHOP)(signed(Scale))
    with pytest.raises(ContractError, match=f"its parameters {name} are inputs or resources"):
        asset(key="raw/sales", schema=Sales, lake=SHOP, ins={name: In("raw/orders")})(signed(ir.Table))


@pytest.mark.parametrize("kind", [pa.Table, pd.DataFrame, pl.DataFrame, ir.Table])
def test_an_input_comes_as_the_frame_that_the_function_annotates(kind: type) -> None:
    seen: list[object] = []

    @asset(key="raw/sales", schema=Sales, lake=SHOP)
    def sales() -> ir.Table:
        return sold("2024-01-01", amount=5.0)

    def copy(sales: object) -> object:
        seen.append(sales)
        return sales

    copy.__annotations__["sales"] = kind
    made = asset(key="wrangled/copy", schema=Sales, lake=SHOP, ins={"sales": In(sales)})(copy)
    assert dg.materialize([sales, made]).success
    assert isinstance(seen[0], kind)
    assert rows(made) == rows(sales)


def test_an_asset_reads_its_own_partitions_before_the_one_that_it_makes() -> None:
    days = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-05")

    @asset(
        key="raw/sales",
        schema=Sales,
        lake=SHOP,
        partitions_def=days,
        metadata={"partition_expr": "day"},
        ins={"before": In("raw/sales", back=2)},
    )
    def sales(before: ir.Table, partition: Partition) -> ir.Table:
        return sold(str(partition.key), amount=1.0 + before.count().to_pyarrow().as_py())

    with dg.DagsterInstance.ephemeral() as instance:
        for day in days.get_partition_keys():
            assert dg.materialize([sales], partition_key=day, instance=instance).success
    assert [row["amount"] for row in rows(sales)] == [1.0, 2.0, 3.0, 3.0]


def test_partitions_that_are_not_of_time_cannot_be_counted_back() -> None:
    parts = dg.StaticPartitionsDefinition(["a", "b"])
    declared: dict[str, Any] = {
        "schema": Sales,
        "lake": SHOP,
        "partitions_def": parts,
        "metadata": {"partition_expr": "day"},
    }

    @asset(key="raw/sales", **declared)
    def sales(partition: Partition) -> ir.Table:
        return sold(str(partition.key))

    @asset(key="wrangled/sales", ins={"sales": In(sales, back=1)}, **declared)
    def later(sales: ir.Table) -> ir.Table:
        return sales

    with pytest.raises(ContractError, match="counts back, but the partitions of raw/sales are not of time"):
        build_defs([sales, later])


def test_whole_numbers_that_may_be_missing_pass_through_pandas_as_they_are() -> None:
    class Counts(pandera.DataFrameModel):
        number: dt.Int64 = pandera.Field(nullable=True)

    @asset(key="raw/counts", schema=Counts, lake=SHOP)
    def counts() -> pa.Table:
        return pa.table({"number": pa.array([9007199254740993, None], pa.int64())})

    @asset(key="wrangled/counts", schema=Counts, lake=SHOP, ins={"counts": In(counts)})
    def again(counts: pd.DataFrame) -> pd.DataFrame:
        return counts

    assert dg.materialize([counts, again]).success
    assert sorted(rows(again), key=str) == sorted(rows(counts), key=str)


def test_a_partition_column_that_is_no_text_is_refused() -> None:
    class Dated(pandera.DataFrameModel):
        day: dt.Date

    with pytest.raises(ContractError, match="its partition column day is date"):

        @asset(
            key="raw/dated",
            schema=Dated,
            lake=SHOP,
            partitions_def=dg.DailyPartitionsDefinition("2024-01-01"),
            metadata={"partition_expr": "day"},
        )
        def dated() -> ir.Table:
            return ibis.memtable({"day": []})
