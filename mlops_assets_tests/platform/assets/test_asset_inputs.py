"""The inputs and partitions of an asset: what it reads, as which frames, and of which partitions."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import dagster as dg
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandas as pd
import pandera.ibis as pandera
import pandera.typing.pandas as pandas_typing
import polars as pl
import pyarrow as pa
import pytest

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.definitions import build_defs
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.assets.reading import in_order
from mlops_assets.platform.errors import ContractError
from mlops_assets_tests.platform.assets.shop import SHOP, Sales, Total, rows, sold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.lake.session import LakeSession


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


Frame = TypeVar("Frame", bound=pd.DataFrame)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        *((kind, kind) for kind in (pa.Table, pd.DataFrame, pl.DataFrame, pl.LazyFrame, ir.Table)),
        (pd.DataFrame | None, pd.DataFrame),
        (Annotated[pd.DataFrame, {"of": "sales"}], pd.DataFrame),
        (Frame, pd.DataFrame),
        ('"pd.DataFrame"', pd.DataFrame),
    ],
)
def test_an_input_comes_as_the_frame_that_the_function_annotates(said: object, kind: type) -> None:
    seen: list[object] = []

    @asset(key="raw/sales", schema=Sales, lake=SHOP)
    def sales() -> ir.Table:
        return sold("2024-01-01", amount=5.0)

    def copy(sales: object) -> object:
        seen.append(sales)
        return sales

    copy.__annotations__["sales"] = said
    made = asset(key="wrangled/copy", schema=Sales, lake=SHOP, ins={"sales": In(sales)})(copy)
    assert dg.materialize([sales, made]).success
    assert isinstance(seen[0], kind)
    assert rows(made) == rows(sales)


@pytest.mark.parametrize(
    "said", [int, list, "list[int]", pandas_typing.DataFrame, "pl.Series", "only_for_types.DataFrame"]
)
def test_an_input_that_is_annotated_with_what_it_cannot_be_is_refused_when_it_is_declared(said: object) -> None:
    def copy(sales: object) -> object:
        return sales

    copy.__annotations__["sales"] = said
    with pytest.raises(ContractError, match=r"wrangled/copy: its input sales is annotated .*not known as a frame"):
        asset(key="wrangled/copy", schema=Sales, lake=SHOP, ins={"sales": In("raw/sales")})(copy)


async def _later() -> ir.Table:
    return sold("2024-01-01")


def _one_by_one() -> Iterator[ir.Table]:
    yield sold("2024-01-01")


@pytest.mark.parametrize(
    ("function", "told"), [(_later, "its function is async"), (_one_by_one, "its function yields")]
)
def test_a_function_that_does_not_return_its_rows_is_refused_when_it_is_declared(
    function: Callable[..., object], told: str
) -> None:
    with pytest.raises(ContractError, match=told):
        asset(key="raw/sales", schema=Sales, lake=SHOP)(function)


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


def test_a_decorator_that_runs_what_is_async_or_yields_is_a_plain_function() -> None:
    @functools.wraps(_later)
    def now() -> ir.Table:
        return asyncio.run(_later())

    made = asset(key="raw/sales", schema=Sales, lake=SHOP, name=None)(now)
    assert dg.materialize([made]).success
    assert len(rows(made)) == 1


@pytest.mark.parametrize("how", ["arrow", "ibis"])
def test_a_stream_of_the_sessions_own_connection_is_whole(how: str) -> None:
    @asset(key="raw/numbers", schema=Total, lake=SHOP)
    def numbers(session: LakeSession) -> object:
        query = "SELECT i::DOUBLE AS amount FROM range(5000) AS t(i)"
        if how == "ibis":
            return session.ibis.sql(query).to_pyarrow_batches()
        return session.connection.execute(query).to_arrow_reader(100)

    assert dg.materialize([numbers]).success
    assert sum(row["amount"] for row in rows(numbers)) == sum(range(5000))


def test_combined_partitions_are_in_the_order_of_their_time_whatever_its_format() -> None:
    months = dg.MonthlyPartitionsDefinition("12-2023", end_date="03-2024", fmt="%m-%Y")
    parts = dg.MultiPartitionsDefinition({"area": dg.StaticPartitionsDefinition(["south", "north"]), "month": months})
    assert [str(key) for key in sorted(parts.get_partition_keys(), key=in_order(parts))] == [
        f"{area}|{month}" for month in ("12-2023", "01-2024", "02-2024") for area in ("north", "south")
    ]


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

    days = dg.DailyPartitionsDefinition("2024-01-01")

    @asset(key="wrangled/sales", ins={"sales": In(sales, back=1)}, **{**declared, "partitions_def": days})
    def later(sales: ir.Table) -> ir.Table:
        return sales

    with pytest.raises(ContractError, match="counts back, but the partitions of raw/sales are not of time"):
        build_defs([sales, later])


def test_what_is_not_of_time_itself_cannot_count_back() -> None:
    with pytest.raises(ContractError, match="its input months counts back, but its own partitions are not of time"):

        @asset(key="wrangled/sales", schema=Sales, lake=SHOP, ins={"months": In("raw/months", back=1)})
        def sales(months: ir.Table) -> ir.Table:
            return months


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
