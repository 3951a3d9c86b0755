"""How many steps follow one arrival: a month that comes must not start a hundred runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets.contracts import wrangled
from mlops_assets.wrangling import compared as comparisons
from mlops_assets.wrangling.definitions import definitions

if TYPE_CHECKING:
    from mlops_assets.platform.contracts.contract import Contract


@pytest.mark.parametrize(
    ("arrived", "compared", "key"),
    [
        (wrangled.COUNTY_REGISTRATIONS, comparisons.REGISTRATIONS.changes(), "2015-03"),
        (wrangled.HOUSE_RESULTS, comparisons.RESULTS.changes(), "1998"),
        (wrangled.DISTRICT_PROFILES, comparisons.PROFILES.changes(), "2011"),
    ],
    ids=["registrations", "results", "profiles"],
)
def test_an_arrival_wakes_the_comparisons_with_the_one_before_and_the_one_after_alone(
    arrived: Contract, compared: Contract, key: str
) -> None:
    graph = definitions().resolve_asset_graph()
    before, after = arrived.partitions_def, compared.partitions_def
    assert before is not None
    assert after is not None
    mapping = graph.get_partition_mapping(compared.key, arrived.key)
    woken = mapping.get_downstream_partitions_for_partitions(before.subset_with_partition_keys([key]), before, after)
    keys = sorted(woken.get_partition_keys())
    assert keys[0] == key
    assert len(keys) == 2
