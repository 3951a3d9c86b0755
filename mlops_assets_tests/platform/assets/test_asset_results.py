"""What an asset's function returns in Dagster's own way: rows, checks, tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform.assets.shop import SHOP, Sales, contract_of, rows, sold

if TYPE_CHECKING:
    import ibis.expr.types as ir


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
