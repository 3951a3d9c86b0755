"""How many steps follow one arrival: a month that comes must not start a hundred runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets.wrangling import compared
from mlops_assets.wrangling.definitions import definitions

if TYPE_CHECKING:
    from mlops_assets.wrangling.comparisons.declaration import Compare


@pytest.mark.parametrize(
    ("compare", "key"),
    [(compared.REGISTRATIONS, "2015-03"), (compared.RESULTS, "1998"), (compared.PROFILES, "2011")],
    ids=["registrations", "results", "profiles"],
)
def test_an_arrival_wakes_its_own_comparison_and_that_of_the_one_after_alone(compare: Compare, key: str) -> None:
    graph = definitions().resolve_asset_graph()
    changes, parts = compare.changes(), compare.contract.partitions_def
    assert parts is not None
    arrived = parts.subset_with_partition_keys([key])
    woken = []
    for upstream in (compare.contract, compare.summaries()):
        mapping = graph.get_partition_mapping(changes.key, upstream.key)
        woken.append(
            sorted(mapping.get_downstream_partitions_for_partitions(arrived, parts, parts).get_partition_keys())
        )
    assert woken[0] == [key]
    assert len(woken[1]) == 1
    assert woken[1][0] > key
