"""The asset ``variance/segmentation``.

Put here its wiring. Keep out counting and choosing, which are in `mlops_assets.wrangling.voter_segments`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.contracts import events as events_contract
from mlops_assets.contracts import features, variance, wrangled
from mlops_assets.contracts.segmentation import SEGMENTATION
from mlops_assets.platform.automation import on_new_data
from mlops_assets.platform.published import WithMetadata, published
from mlops_assets.platform.reads import Read
from mlops_assets.wrangling import voter_segments as transform

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.platform.published import Partition

_NIGHTLY: Final = "0 3 * * *"
"""Each month that arrives changes little of what past elections say."""


@published(
    contract=SEGMENTATION,
    reads={
        "person_turnout": Read(
            features.PERSON_TURNOUT,
            partitions=dg.AllPartitionMapping(),
            choose=transform.earlier_elections,
            optional=True,
        ),
        "voters": Read(
            wrangled.VOTERS, partitions=dg.AllPartitionMapping(), choose=transform.snapshots_used, optional=True
        ),
        "flows": Read(variance.DISTRICT_FLOWS, partitions=dg.AllPartitionMapping(), optional=True),
        "events": Read(events_contract.EVENTS, optional=True),
    },
    automation_condition=on_new_data(at_most=_NIGHTLY),
)
def segmentation(
    person_turnout: ir.Table, voters: ir.Table, flows: ir.Table, events: ir.Table, partition: Partition
) -> WithMetadata:
    """By which classes persons are best told apart before an election; no rows where too little is known."""
    rows = transform.voter_segmentation(
        person_turnout,
        voters,
        flows.to_pyarrow().to_pylist(),
        events.to_pyarrow().to_pylist(),
        election=partition.values["election"],
    )
    chosen = next((row for row in rows.to_pylist() if row["chosen"]), None)
    return WithMetadata(
        rows,
        {
            "chosen": f"{chosen['candidate']} {chosen['series']}".strip() if chosen else "nothing",
            "reason": chosen["reason"] if chosen else "fewer than two earlier elections are known",
        },
    )
