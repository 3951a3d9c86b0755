"""The assets ``variance/segmentation`` and ``features/segment_turnout``.

Put here their wiring. Keep out counting, choosing and following, which are in `mlops_assets.wrangling`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.contracts import events as events_contract
from mlops_assets.contracts import features, wrangled
from mlops_assets.contracts.segmentation import SEGMENT_TURNOUT, SEGMENTATION
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling import compared
from mlops_assets.wrangling import segment_turnout as following
from mlops_assets.wrangling import voter_segments as transform

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from mlops_assets.platform.assets.step import Partition


_NIGHTLY: Final = "0 3 * * *"
"""Each month that arrives changes little of what past elections say."""
_AN_HOUR_LATER: Final = "0 4 * * *"


@asset(
    contract=SEGMENTATION,
    ins={
        "person_turnout": In(
            features.PERSON_TURNOUT,
            partition_mapping=dg.AllPartitionMapping(),
            choose=transform.earlier_elections,
            optional=True,
        ),
        "voters": In(
            wrangled.VOTERS, partition_mapping=dg.AllPartitionMapping(), choose=transform.snapshots_used, optional=True
        ),
        "flows": In(compared.VOTERS.flows(), partition_mapping=dg.AllPartitionMapping(), optional=True),
        "events": In(events_contract.EVENTS, optional=True),
    },
    automation_condition=on_new_data(at_most=_NIGHTLY),
)
def segmentation(
    person_turnout: ir.Table, voters: ir.Table, flows: ir.Table, events: ir.Table, partition: Partition
) -> dg.MaterializeResult[pa.Table]:
    """By which classes persons are best told apart before an election; no rows where too little is known."""
    rows = transform.voter_segmentation(
        person_turnout,
        voters,
        flows.to_pyarrow().to_pylist(),
        events.to_pyarrow().to_pylist(),
        election=partition.values["election"],
    )
    chosen = next((row for row in rows.to_pylist() if row["chosen"]), None)
    return dg.MaterializeResult(
        value=rows,
        metadata={
            "chosen": f"{chosen['candidate']} {chosen['series']}".strip() if chosen else "nothing",
            "reason": chosen["reason"] if chosen else "fewer than two earlier elections are known",
        },
    )


@asset(
    contract=SEGMENT_TURNOUT,
    ins={
        "compared": In(SEGMENTATION, optional=True),
        "person_turnout": In(
            features.PERSON_TURNOUT,
            partition_mapping=dg.AllPartitionMapping(),
            choose=following.elections_used,
            optional=True,
        ),
        "flows": In(compared.VOTERS.flows(), partition_mapping=dg.AllPartitionMapping(), optional=True),
        "events": In(events_contract.EVENTS, optional=True),
    },
    automation_condition=on_new_data(at_most=_AN_HOUR_LATER),
)
def segment_turnout(
    compared: ir.Table, person_turnout: ir.Table, flows: ir.Table, events: ir.Table, partition: Partition
) -> pa.Table:
    """What earlier elections say of each segment that the segmentation follows; no rows where none is."""
    return following.segment_turnout(
        person_turnout,
        compared.to_pyarrow().to_pylist(),
        flows.to_pyarrow().to_pylist(),
        events.to_pyarrow().to_pylist(),
        forecast=partition.values["forecast"],
    )
