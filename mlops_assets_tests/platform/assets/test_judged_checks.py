"""Checks that a step judges itself, and consumers that go on with the last good partition when one fails."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa
import pytest

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.audit.outcomes import CheckOutcome, judged_outcomes
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.errors import ContractError
from mlops_assets_tests.platform import orchard

if TYPE_CHECKING:
    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract

JUDGED = dataclasses.replace(
    orchard.YIELDS, table="tasted", judged={"better_than_last_year": "Somebody who remembers says so."}
)
PRESSED = dataclasses.replace(orchard.YIELDS, table="pressed")
BOTTLED = dataclasses.replace(orchard.YIELDS, table="bottled")
VERDICTS: dict[str, bool] = {}


@asset(contract=JUDGED)
def tasted(partition: Partition) -> dg.MaterializeResult[pa.Table]:
    """Yields that were tasted."""
    rows = pa.table({"week": [partition.key], "tree": [1], "kilos": [float(len(VERDICTS))]})
    verdict = dg.AssetCheckResult(passed=VERDICTS["good"], description="Sour.", metadata={"sugar": 0.1, "acid": None})
    return dg.MaterializeResult(value=rows, check_results=[verdict])


@asset(contract=PRESSED, ins={"tasted": In(JUDGED)}, automation_condition=on_new_data(last_good=[JUDGED.key]))
def pressed(tasted: pa.Table) -> pa.Table:
    """What was pressed of them."""
    return tasted


@asset(contract=BOTTLED, ins={"tasted": In(JUDGED)}, automation_condition=on_new_data())
def bottled(tasted: pa.Table) -> pa.Table:
    """What was bottled of them, and nothing that is in doubt."""
    return tasted


def _taste(instance: dg.DagsterInstance, *, good: bool) -> dg.ExecuteInProcessResult:
    VERDICTS["good"] = good
    return dg.materialize([tasted], partition_key="w1", instance=instance, raise_on_error=False)


def test_a_failed_judgement_publishes_nothing_and_tells_its_reason(instance: dg.DagsterInstance) -> None:
    assert _taste(instance, good=True).success
    result = _taste(instance, good=False)
    assert not result.success
    [check] = [c for c in result.get_asset_check_evaluations() if c.check_name == "better_than_last_year"]
    assert not check.passed
    assert check.metadata["reason"].value == "Sour."
    assert check.metadata["measured"].value == {"sugar": 0.1, "acid": None}
    assert not result.asset_materializations_for_node("wrangled__tasted")


def test_an_outcome_with_its_judgement_survives_its_record() -> None:
    [outcome] = judged_outcomes(JUDGED, [dg.AssetCheckResult(passed=True, metadata={"sugar": 1})])
    assert CheckOutcome.from_record(outcome.as_record()) == outcome


@pytest.mark.parametrize("results", [[], [dg.AssetCheckResult(passed=True, check_name="another")]])
def test_a_step_that_does_not_judge_what_its_contract_asks_is_refused(results: list[dg.AssetCheckResult]) -> None:
    with pytest.raises(ContractError, match="it has results of the checks"):
        judged_outcomes(JUDGED, results)


@pytest.mark.parametrize("name", ["contract", "contract_warnings", "keys", "no_windfall"])
def test_a_judged_check_cannot_have_the_name_of_a_rule(name: str) -> None:
    with pytest.raises(ContractError, match="both rules and judged"):
        rules.check_names(dataclasses.replace(orchard.HARVEST, judged={name: "Taken by a rule."}))


def _asked_for_after_a_failed_candidate(instance: dg.DagsterInstance, contract: Contract) -> set[str | None]:
    defs = dg.Definitions(assets=[tasted, pressed, bottled])
    cursor = dg.evaluate_automation_conditions(defs=defs, instance=instance).cursor
    assert _taste(instance, good=True).success
    assert not _taste(instance, good=False).success
    result = dg.evaluate_automation_conditions(defs=defs, instance=instance, cursor=cursor)
    return set(result.get_requested_partitions(contract.key))


def test_consumers_of_a_last_good_partition_do_not_wait_for_a_failed_candidate(instance: dg.DagsterInstance) -> None:
    assert _asked_for_after_a_failed_candidate(instance, PRESSED) == {"w1"}


def test_other_consumers_wait_for_a_candidate_that_passes(instance: dg.DagsterInstance) -> None:
    assert _asked_for_after_a_failed_candidate(instance, BOTTLED) == set()
