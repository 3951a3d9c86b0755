"""The lakes of a run: as declared, or as a resource of their name says, with every variable looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pandera
import pytest

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.definitions import build_defs
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.errors import ContractError
from mlops_assets_tests.platform.assets import shop

if TYPE_CHECKING:
    from pathlib import Path


class Sales(pandera.DataFrameModel):
    """One row for each sale."""

    amount: dt.Float64


def sales_in(lake: Lake) -> dg.AssetsDefinition:
    """An asset in that lake."""

    @asset(key="raw/sales", schema=Sales, lake=lake)
    def sales() -> ir.Table:
        return ibis.memtable({"amount": [1.0]})

    return sales


def files(folder: Path) -> list[Path]:
    """The Parquet files under that folder."""
    return sorted(folder.rglob("*.parquet"))


def test_a_lake_lies_where_the_variable_that_it_names_says(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DATA", str(tmp_path / "elsewhere"))
    assert dg.materialize([sales_in(Lake("shop", data_path=dg.EnvVar("SHOP_DATA")))]).success
    assert files(tmp_path / "elsewhere")
    assert not files(home)


def test_a_folder_that_is_named_like_a_column_and_a_value_says_nothing_of_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "till=south" / "tax=7"))

    @asset(key="raw/sales", schema=shop.Sales, lake=shop.SHOP)
    def sales() -> ir.Table:
        return shop.sold("2024-01-01", "north")

    for _ in ("published", "adopted"):
        assert dg.materialize([sales]).success
        assert shop.rows(sales) == [{"day": "2024-01-01", "till": "north", "amount": 1.0}]


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_DATA", raising=False)
    failed = dg.materialize([sales_in(Lake("shop", data_path=dg.EnvVar("SHOP_DATA")))], raise_on_error=False)
    [told] = [event.step_failure_data.user_failure_data for event in failed.get_step_failure_events()]
    assert told is not None
    assert "the variable SHOP_DATA is not set" in str(told.description)


def test_a_resource_of_the_lakes_name_takes_its_place(tmp_path: Path) -> None:
    declared = Lake("shop", data_path=str(tmp_path / "declared"))
    other = Lake("shop", data_path=str(tmp_path / "other"))
    assert dg.materialize([sales_in(declared)], resources={"shop": other}).success
    assert files(tmp_path / "other")
    assert not files(tmp_path / "declared")


def test_a_lake_may_be_placed_by_the_runs_config(tmp_path: Path) -> None:
    done = dg.materialize(
        [sales_in(Lake("shop"))],
        resources={"shop": Lake.configure_at_launch()},
        run_config={"resources": {"shop": {"config": {"name": "shop", "data_path": str(tmp_path / "launched")}}}},
    )
    assert done.success
    assert files(tmp_path / "launched")


def test_the_file_of_a_password_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    lake = Lake("shop", password_file=str(tmp_path / "none"))
    failed = dg.materialize([sales_in(lake)], raise_on_error=False)
    [told] = [event.step_failure_data.user_failure_data for event in failed.get_step_failure_events()]
    assert told is not None
    assert "the file of its password cannot be read (No such file or directory)" in str(told.description)


@pytest.mark.parametrize(("name", "personal"), [("other", False), ("shop", True)])
def test_a_resource_that_is_another_lake_than_declared_is_refused(name: str, *, personal: bool, home: Path) -> None:
    other = Lake(name, personal=personal)
    failed = dg.materialize([sales_in(Lake("shop"))], resources={"shop": other}, raise_on_error=False)
    [told] = [event.step_failure_data.user_failure_data for event in failed.get_step_failure_events()]
    assert told is not None
    assert f"is {name} with personal={personal}, and it is declared with personal=False" in str(told.description)
    assert not files(home)


PLACES: Final = {"by its table": [], "in the definitions": [Lake("shop")]}


@pytest.mark.parametrize("where", sorted(PLACES))
def test_definitions_have_each_lake_as_a_resource(where: str) -> None:
    defs = build_defs([sales_in(Lake("shop"))], lakes=PLACES[where])
    assert isinstance((defs.resources or {})["shop"], Lake)


def test_a_lake_that_is_given_for_other_data_than_declared_is_refused() -> None:
    with pytest.raises(ContractError, match="personal=True, and its tables declare the opposite"):
        build_defs([sales_in(Lake("shop"))], lakes=[Lake("shop", personal=True)])


def test_a_lake_that_two_tables_declare_otherwise_is_refused() -> None:
    @asset(key="raw/returns", schema=Sales, lake=Lake("shop", data_path="/elsewhere"))
    def returns() -> ir.Table:
        return ibis.memtable({"amount": [1.0]})

    with pytest.raises(ContractError, match="raw/returns declares it otherwise"):
        build_defs([sales_in(Lake("shop")), returns])


def test_definitions_merge_with_those_that_name_an_executor() -> None:
    own = dg.Definitions(executor=dg.multiprocess_executor)
    merged = dg.Definitions.merge(build_defs([sales_in(Lake("shop"))], executor=None), own)
    assert merged.executor is dg.multiprocess_executor


def test_a_step_whose_tables_declare_their_lake_otherwise_is_refused() -> None:
    @asset(
        key="wrangled/sales", schema=Sales, lake=Lake("shop", data_path="/elsewhere"), ins={"sales": In("raw/sales")}
    )
    def wrangled(sales: ir.Table) -> ir.Table:
        return sales

    failed = dg.materialize([sales_in(Lake("shop")), wrangled], raise_on_error=False)
    [told] = [event.step_failure_data.user_failure_data for event in failed.get_step_failure_events()]
    assert told is not None
    assert "two tables of the step declare it otherwise" in str(told.description)


def test_definitions_merge_with_a_teams_own() -> None:
    @dg.asset
    def note() -> None: ...

    merged = dg.Definitions.merge(build_defs([sales_in(Lake("shop"))], name="shop"), dg.Definitions(assets=[note]))
    assert {spec.key.to_user_string() for spec in merged.resolve_all_asset_specs()} == {"raw/sales", "note"}
    assert {sensor.name for sensor in merged.sensors or ()} == {"shop_automation", "shop_reconciler", "shop_alerts"}


def test_two_pipelines_that_share_a_lake_merge_into_one_code_location() -> None:
    shop = Lake("shop")

    @asset(key="raw/returns", schema=Sales, lake=shop)
    def returns() -> ir.Table:
        return ibis.memtable({"amount": [1.0]})

    merged = dg.Definitions.merge(build_defs([sales_in(shop)], name="sales"), build_defs([returns], name="returns"))
    assert set(merged.resources or {}) == {"shop", "lake_io_manager"}
    assert {spec.key.path[-1] for spec in merged.resolve_all_asset_specs()} == {"sales", "returns"}


def test_two_assets_that_make_one_table_are_refused_by_name() -> None:
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="sales"):
        build_defs([sales_in(Lake("shop")), sales_in(Lake("shop"))]).get_repository_def()


def test_a_catalog_that_was_made_for_data_elsewhere_says_so(tmp_path: Path) -> None:
    assert dg.materialize([sales_in(Lake("shop"))]).success
    moved = Lake("shop", data_path=str(tmp_path / "moved"))
    failed = dg.materialize([sales_in(Lake("shop"))], resources={"shop": moved}, raise_on_error=False)
    [told] = [event.step_failure_data.user_failure_data for event in failed.get_step_failure_events()]
    assert told is not None
    assert "made for data in another folder" in str(told.description)
    assert "MLOPS_ASSETS_HOME" in str(told.description)


@pytest.mark.parametrize("given", [sales_in(Lake("shop")), [sales_in], ["raw/sales"]])
def test_what_are_no_assets_are_refused_with_how_to_list_them(given: Any) -> None:  # noqa: ANN401  what people try
    with pytest.raises(ContractError, match=r"Definitions shop: among their assets is .*build_defs\(\[orders\]"):
        build_defs(given, name="shop")
