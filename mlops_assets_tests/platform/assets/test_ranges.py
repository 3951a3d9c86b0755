"""Ranges: few, of partitions that were asked for and of no others."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis.expr.datatypes as dt
import pandera.ibis as pandera
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.ranges import RANGE_END, RANGE_START, in_ranges
from mlops_assets_tests.platform.assets import mill
from mlops_assets_tests.platform.assets.mill import MONTHS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mlops_assets.platform.assets.step import Partition

STATES: Final = ("NC", "OH", "WA")
_MONTHLY: Final = dg.MonthlyPartitionsDefinition("2024-01", end_date="2025-01", fmt="%Y-%m")
_IN_STATES: Final = dg.MultiPartitionsDefinition({"month": _MONTHLY, "state": dg.StaticPartitionsDefinition([*STATES])})
_ALL: Final = [f"{month}|{state}" for month in MONTHS for state in STATES]


class _Model(pandera.DataFrameModel):
    month: dt.String
    state: dt.String


def _declared(
    name: str,
    partitions_def: dg.PartitionsDefinition[str] = _MONTHLY,
    *,
    policy: dg.BackfillPolicy | None = None,
    reads: Sequence[dg.AssetsDefinition] = (),
) -> dg.AssetsDefinition:
    several = isinstance(partitions_def, dg.MultiPartitionsDefinition)

    @asset(
        key=f"mill/{name}",
        schema=_Model,
        lake=mill.MILL,
        partitions_def=partitions_def,
        metadata={} if several else {"partition_expr": "month"},
        backfill_policy=policy,
        deps=[each.key for each in reads],
    )
    def declared(partition: Partition) -> pa.Table:
        return pa.table({"month": [partition.key]})

    return declared


def _asked(
    keys: Collection[str],
    *definitions: dg.AssetsDefinition,
    tags: Any = None,  # noqa: ANN401
) -> list[dg.RunRequest]:
    """Requests as Dagster's automation makes them."""
    [partitions_def, *_] = [each.partitions_def for each in definitions]
    assert partitions_def is not None
    return [
        dg.RunRequest(
            asset_selection=[each.key for each in definitions],
            partition_key=key,
            tags={**(tags or {}), **partitions_def.get_tags_for_partition_key(key)},
        )
        for key in keys
    ]


def _runs(requests: Sequence[dg.RunRequest], *definitions: dg.AssetsDefinition) -> list[list[str]]:
    """The partitions of each run, as Dagster reads them from its tags."""
    [partitions_def, *_] = [each.partitions_def for each in definitions]
    assert partitions_def is not None
    found = []
    for run in in_ranges(requests, {each.key: each for each in definitions}):
        if run.partition_key is not None:
            assert run.tags["dagster/partition"] == run.partition_key
            found.append([run.partition_key])
        else:
            assert not any(name.startswith("dagster/partition") for name in run.tags)
            key_range = dg.PartitionKeyRange(run.tags[RANGE_START], run.tags[RANGE_END])
            found.append([str(key) for key in partitions_def.get_partition_keys_in_range(key_range)])
    return found


def test_partitions_that_follow_one_another_are_one_run() -> None:
    sacks = _declared("sacks")
    assert _runs(_asked(MONTHS, sacks), sacks) == [[*MONTHS]]


def test_a_gap_parts_two_runs_and_one_that_stands_alone_is_asked_for_as_ever() -> None:
    sacks = _declared("sacks")
    asked = [*MONTHS[:4], MONTHS[5], *MONTHS[7:]]
    assert _runs(_asked(asked, sacks), sacks) == [[*MONTHS[:4]], [MONTHS[5]], [*MONTHS[7:]]]


def test_a_run_holds_no_more_than_the_policy_says() -> None:
    sacks = _declared("sacks", policy=dg.BackfillPolicy.multi_run(5))
    assert _runs(_asked(MONTHS, sacks), sacks) == [[*MONTHS[:5]], [*MONTHS[5:10]], [*MONTHS[10:]]]


def test_an_asset_of_one_partition_in_a_run_and_a_plain_one_stay_as_they_are() -> None:
    one = _declared("sacks", policy=dg.BackfillPolicy.multi_run(1))

    @dg.asset(partitions_def=_MONTHLY, backfill_policy=dg.BackfillPolicy.single_run())
    def plain() -> None: ...

    for definition in (one, plain):
        asked = _asked(MONTHS, definition)
        assert in_ranges(asked, {definition.key: definition}) == asked


def test_assets_are_made_together_where_they_were_asked_for_together() -> None:
    sacks, bags = _declared("sacks"), _declared("bags", policy=dg.BackfillPolicy.multi_run(4))
    requests = [*_asked(MONTHS[:6], sacks, bags), *_asked(MONTHS[6:], sacks)]
    assert _runs(requests, sacks, bags) == [[*MONTHS[:4]], [*MONTHS[4:6]], [*MONTHS[6:]]]
    runs = in_ranges(requests, {each.key: each for each in (sacks, bags)})
    assert [len(run.asset_selection or ()) for run in runs] == [2, 2, 1]


def test_an_asset_that_is_made_from_another_one_of_the_run_or_from_itself_stays_as_it_is() -> None:
    sacks = _declared("sacks")
    bread = _declared("bread", reads=[sacks])
    asked = _asked(MONTHS, sacks, bread)
    assert in_ranges(asked, {each.key: each for each in (sacks, bread)}) == asked
    asked = _asked(MONTHS, mill.stock)
    assert in_ranges(asked, {mill.STOCK.key: mill.stock}) == asked


def test_requests_with_different_tags_or_without_partition_are_not_put_together() -> None:
    sacks = _declared("sacks")
    whole = dg.RunRequest(asset_selection=[sacks.key])
    requests = [*_asked(MONTHS[:2], sacks, tags={"why": "news"}), *_asked(MONTHS[2:], sacks), whole]
    runs = in_ranges(requests, {sacks.key: sacks})
    assert [run.tags.get("why") for run in runs] == [None, "news", None]
    assert runs[0] is whole


def test_months_of_states_are_a_block() -> None:
    votes = _declared("votes", _IN_STATES)
    [run] = _runs(_asked(_ALL, votes), votes)
    assert sorted(run) == sorted(_ALL)


@settings(max_examples=200, deadline=None)
@given(
    asked=st.sets(st.sampled_from(_ALL), min_size=1),
    at_most=st.integers(min_value=1, max_value=40),
)
def test_ranges_hold_what_was_asked_for_each_once_and_nothing_else(asked: set[str], at_most: int) -> None:
    votes = _declared("votes", _IN_STATES, policy=dg.BackfillPolicy.multi_run(at_most))
    runs = _runs(_asked(sorted(asked), votes), votes)
    assert sorted(itertools.chain(*runs)) == sorted(asked)
    assert max(map(len, runs)) <= at_most


def test_partitions_that_are_added_as_it_goes_are_in_the_order_in_which_they_were_added() -> None:
    shops = dg.DynamicPartitionsDefinition(name="shops")
    tills = _declared("tills", shops)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shops", ["north", "east", "west"])
        [run] = in_ranges(_asked(["east", "north"], tills), {tills.key: tills}, instance)
    assert (run.tags[RANGE_START], run.tags[RANGE_END]) == ("north", "east")
