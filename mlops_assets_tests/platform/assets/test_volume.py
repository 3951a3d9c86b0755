"""The number of rows is a rule: what is empty or has lost much is not published unless somebody says that it is right.

Put here volume in whole runs. Keep out its bounds alone (``contracts/test_volume``).
"""

from __future__ import annotations

import dataclasses

import dagster as dg
import pytest

from mlops_assets.platform.contracts.contract import Quarantine
from mlops_assets.platform.contracts.volume import ACCEPTED_TAG, ANY_VOLUME, Volume
from mlops_assets_tests.broken_rules import told_by
from mlops_assets_tests.platform import orchard


def pick(
    trees: int,
    asset: dg.AssetsDefinition = orchard.harvest,
    *,
    rotten: int = 0,
    tags: dict[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """Weigh that many trees, some of them with rotten rows, and publish them."""
    rows = orchard.good_rows("w1", trees)
    orchard.weigh("w1", [{**row, "kilos": -1.0} if place < rotten else row for place, row in enumerate(rows)])
    return dg.materialize([asset], partition_key="w1", raise_on_error=False, tags=tags)


def contract(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    [check] = [check for check in result.get_asset_check_evaluations() if check.check_name == "contract"]
    return check


def test_a_first_publish_without_rows_is_refused() -> None:
    result = pick(0)
    assert not result.success
    assert "0 rows, none published before; there must be some" in str(contract(result).metadata["reason"].value)


def test_an_empty_partition_does_not_replace_a_full_one() -> None:
    assert pick(4).success
    assert not pick(0).success
    assert len(orchard.visible(orchard.HARVEST)) == 4


def test_a_loss_of_half_is_published_and_more_is_not() -> None:
    assert pick(20).success
    assert pick(10).success
    result = pick(4)
    assert not result.success
    assert told_by(result.get_asset_check_evaluations()) == {"contract": {"volume": 0}}
    assert len(orchard.visible(orchard.HARVEST)) == 10


def test_the_message_names_rows_now_and_before_the_bound_and_the_remedy() -> None:
    pick(10)
    check = contract(pick(4))
    assert check.metadata["reason"].value == (
        "4 rows, 10 in the last good publish; at most 50 % of them may be lost (max_loss). Is the source whole? If 4 "
        "rows are right, run it with the tag mlops_assets/accept_rows=4, or declare another volume in the contract."
    )
    assert check.metadata["measured"].value == {"rows": 4, "rows_before": 10}


def test_a_run_whose_tag_accepts_that_number_of_rows_publishes_them_and_says_so() -> None:
    pick(10)
    result = pick(4, tags={ACCEPTED_TAG: "7, 4"})
    assert result.success
    assert len(orchard.visible(orchard.HARVEST)) == 4
    check = contract(result)
    assert check.passed, "a check that declares to block and fails as a warning would hold automated consumers back"
    assert check.metadata["reason"].value == (
        "4 rows, 10 in the last good publish; at most 50 % of them may be lost (max_loss). Accepted by the run's tag "
        "mlops_assets/accept_rows."
    )


@pytest.mark.parametrize("tag", ["5", "yes", "", "44"])
def test_a_tag_that_accepts_another_number_of_rows_does_not_count(tag: str) -> None:
    pick(10)
    assert not pick(4, tags={ACCEPTED_TAG: tag}).success


def test_another_partition_is_no_reference() -> None:
    pick(10)
    orchard.weigh("w2", orchard.good_rows("w2", 1))
    assert orchard.pick("w2", [orchard.harvest]).success


def test_a_contract_may_allow_empty_partitions_and_still_bound_the_loss() -> None:
    asset = orchard.publishing(dataclasses.replace(orchard.HARVEST, volume=Volume(allow_empty=True)))
    assert pick(0, asset).success
    assert pick(4, asset).success
    assert not pick(0, asset).success


def test_a_contract_may_bound_the_rows_of_a_partition_on_both_sides() -> None:
    asset = orchard.publishing(dataclasses.replace(orchard.HARVEST, volume=Volume(expect_rows=(3, 5), max_loss=1.0)))
    assert pick(5, asset).success
    assert "at most 5 may be there (expect_rows)" in str(contract(pick(6, asset)).metadata["reason"].value)
    assert "at least 3 must be there (expect_rows)" in str(contract(pick(2, asset)).metadata["reason"].value)
    assert pick(3, asset).success


def test_a_contract_that_allows_any_volume_has_no_such_rule() -> None:
    asset = orchard.publishing(dataclasses.replace(orchard.HARVEST, volume=ANY_VOLUME))
    [said] = [str(check.description) for check in asset.check_specs if check.name == "contract"]
    assert "volume" not in said
    assert pick(4, asset).success
    result = pick(0, asset)
    assert result.success
    assert not {"reason", "measured"} & set(contract(result).metadata)


def test_what_else_is_broken_is_told_beside_the_volume() -> None:
    pick(10)
    result = pick(4, rotten=2)
    assert told_by(result.get_asset_check_evaluations()) == {"contract": {"volume": 0, "values": 2}}
    told = contract(result)
    assert told.metadata["measured"].value == {"rows": 4, "rows_before": 10}
    assert str(told.description).startswith("volume: 4 rows, 10 in the last good publish")
    assert str(told.description).endswith("; values: kilos greater_than_or_equal_to(0), broken by 2 rows")


def test_the_volume_of_a_quarantined_partition_is_that_of_its_good_rows() -> None:
    asset = orchard.publishing(dataclasses.replace(orchard.HARVEST, table="sorted", quarantine=Quarantine(floor=0.1)))
    assert pick(20, asset).success
    assert not pick(20, asset, rotten=11).success
    result = pick(20, asset, rotten=8)
    assert result.success
    assert contract(result).metadata["measured"].value == {"rows": 12, "rows_before": 20}
