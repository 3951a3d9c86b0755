"""The contract of all named events in one list, which readers look at and series are cut by.

Put here events from every source in one form. Keep out the tables that found them, which are those of comparisons.
"""

from __future__ import annotations

from typing import Final

import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.contracts import codes
from mlops_assets.contracts.lakes import CURATED
from mlops_assets.contracts.wrangled import WRANGLERS
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.volume import ANY_VOLUME

SOURCES: Final = ("voter_events", "result_events", "profile_events", "registration_events")
"""The tables that find events, in the layer ``variance``; linked persons come first."""


class EventsModel(pa.DataFrameModel):
    """One row per named event of any source."""

    event_id: dt.String = pa.Field(nullable=False)
    """That of the table that found it: the same after every re-materialization."""
    source: dt.String = pa.Field(nullable=False, isin=[*SOURCES])
    """The table that found it, in the layer ``variance``."""
    partition: dt.String = pa.Field(nullable=False)
    """Its partition there."""
    state: dt.String = pa.Field(nullable=False, isin=list(codes.FIPS_BY_STATE))
    time: dt.String = pa.Field(nullable=False)
    """Month, election or year of the first data that show it."""
    since: dt.String = pa.Field(nullable=False)
    """ISO date of the last data that do not show it; empty if there are none."""
    until: dt.String = pa.Field(nullable=False)
    """ISO date of the first data that show it."""
    cause: dt.String = pa.Field(nullable=False)
    kind: dt.String = pa.Field(nullable=False)
    name: dt.String = pa.Field(nullable=False)
    probability: dt.Float64 = pa.Field(nullable=False, ge=0, le=1, metadata={"decimals": 4})
    """Of the cause; 1 where single persons were linked."""
    units: dt.String = pa.Field(nullable=False)
    size: dt.Float64 = pa.Field(nullable=False, metadata={"decimals": 6})
    size_unit: dt.String = pa.Field(nullable=False)
    evidence: dt.String = pa.Field(nullable=False)
    same_as: dt.String = pa.Field(nullable=False)
    """The event of another source that this one is: a map change seen twice. Empty for an event of its own."""
    judgement: dt.String = pa.Field(nullable=False)
    judged_by: dt.String = pa.Field(nullable=False)
    notes: dt.String = pa.Field(nullable=False)
    """What was said of it, oldest first, with who said it."""
    cuts: dt.Boolean = pa.Field(nullable=False)
    """Whether series of the units end here: the map or its numbers changed, and nobody rejected it."""

    class Config:
        """Strict, keyed by event."""

        strict = True
        unique = ("event_id",)


EVENTS: Final = Contract(
    layer="variance",
    table="events",
    model=EventsModel,
    lake=CURATED,
    description="Every named event that changed the data, from linked voter files and from unlinked aggregates.",
    owners=WRANGLERS,
    volume=ANY_VOLUME,
)
