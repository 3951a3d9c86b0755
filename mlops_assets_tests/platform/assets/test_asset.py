"""The asset decorator: Dagster's parameters and habits hold, and what cannot be enforced is refused when declared."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pandera
import pytest

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.errors import ContractError
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.assets.shop import SHOP, Sales, rows, sold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


OURS: Final = {"schema", "lake", "subject", "volume", "quarantine", "contract", "partitions_at_once"}


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


def test_a_partition_column_that_is_not_named_is_asked_for() -> None:
    with pytest.raises(ContractError, match="partition_expr"):

        @asset(key="raw/sales", schema=Sales, lake=SHOP, partitions_def=dg.DailyPartitionsDefinition("2024-01-01"))
        def sales() -> ir.Table:
            return sold("2024-01-01")


REFUSED: Final[Mapping[str, tuple[dict[str, Any], str]]] = {
    "no schema": ({"schema": None}, "it has no schema"),
    "no lake": ({"lake": None}, "it has no lake"),
    "a key of one part": ({"key": "sales"}, "there are two"),
    "the name of a quarantine": ({"key": "raw/sales_quarantine"}, "called like the quarantine of sales"),
    "a name beside a key": ({"name": "sold"}, "a name or key_prefix beside it"),
    "a contract beside its parts": ({"contract": orchard.YIELDS}, "beside its contract"),
    "an I/O manager": ({"io_manager_key": "files"}, "go to the lake"),
    "a type": ({"dagster_type": dg.Nothing}, "schema says what it holds"),
    "no output": ({"output_required": False}, "publishes nothing"),
    "a virtual asset": ({"is_virtual": True}, "a table is made"),
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
