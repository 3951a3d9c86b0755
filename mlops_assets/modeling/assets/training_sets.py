"""The assets ``training/person_turnout`` and ``training/district_elections``.

Put here their wiring. Keep out the joining, which is in `mlops_assets.modeling.training_sets`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.contracts import features, partitions, segmentation, training, wrangled
from mlops_assets.modeling import training_sets
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir
    import pyarrow as pa

    from mlops_assets.platform.assets.step import Partition


# Each month changes the features of the coming election, which teach nothing yet; predictions need not wait for that.
_WEEKLY: Final = "0 5 * * 1"


def _all_that_exist(forecast: str, elections: Sequence[str]) -> Sequence[str]:
    """Every earlier election that is there; none is needed in particular."""
    del forecast  # the mapping holds only earlier elections
    return elections


@asset(
    contract=training.PERSON_TURNOUT,
    # No mapping of Dagster's leads from elections by state to forecasts: all are mapped and the earlier ones chosen.
    ins={
        "persons": In(
            features.PERSON_TURNOUT, partition_mapping=dg.AllPartitionMapping(), choose=partitions.elections_before
        ),
        "segments": In(segmentation.SEGMENT_TURNOUT, optional=True),
    },
    code_version="2",
    automation_condition=on_new_data(at_most=_WEEKLY),
)
def person_turnout_set(persons: ir.Table, segments: ir.Table, partition: Partition) -> pa.Table:
    """What the turnout model of one forecast learns from."""
    return training_sets.person_cells(persons, partition.values["forecast"], segments.to_pyarrow())


@asset(
    contract=training.DISTRICT_ELECTIONS,
    ins={
        "districts": In(
            features.DISTRICT_ELECTION, partition_mapping=partitions.RESULTS_TO_FORECASTS, choose=_all_that_exist
        ),
        "results": In(
            wrangled.HOUSE_RESULTS, partition_mapping=partitions.RESULTS_TO_FORECASTS, choose=_all_that_exist
        ),
    },
    automation_condition=on_new_data(),
)
def district_elections_set(districts: ir.Table, results: ir.Table, partition: Partition) -> ir.Table:
    """What the vote and share models of one forecast learn from."""
    return training_sets.district_elections(districts, results, partition.values["forecast"])
