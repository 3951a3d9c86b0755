"""Contracts of named events and of what wrangling's people say of them: the tables that alerts and readers look at.

Put here events from every source in one form, and verdicts on them. Keep out the comparisons that events come from,
and what they stop (``gates``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.contracts import codes
from mlops_assets.contracts.lakes import CURATED
from mlops_assets.contracts.partitions import (
    ELECTION_YEARS,
    PROFILE_YEARS,
    REGISTRATION_MONTHS,
    SNAPSHOT_MONTHS,
    STATES,
)
from mlops_assets.contracts.variance import (
    EVENT_CAUSES,
    PROFILE_CHANGES,
    REGISTRATION_CHANGES,
    RESULT_CHANGES,
    VOTER_EVENT_KINDS,
    VOTER_EVENTS,
)
from mlops_assets.contracts.wrangled import WRANGLERS
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.volume import ANY_VOLUME

if TYPE_CHECKING:
    from collections.abc import Mapping

VERDICT: Final = ("confirm", "reject", "annotate")
"""What a person can say of an event; an annotation leaves open whether it happened."""

OPEN: Final = "open"
CONFIRMED: Final = "confirmed"
REJECTED: Final = "rejected"

JUDGED_AS: Final[Mapping[str, str]] = {"confirm": CONFIRMED, "reject": REJECTED}
"""The judgement that a verdict makes; the latest one stands."""

EVENT_ID_PATTERN: Final = r"^[0-9a-f]{12}$"

DETECTED_KIND: Final = "detected"
"""The kind of every event that was found in aggregates."""

LONGEST_NAME: Final = 60
LONGEST_NOTE: Final = 500


class VerdictModel(pa.DataFrameModel):
    """One row per verdict on an event, in the order in which they were given; rows are added and never changed."""

    event_id: dt.String = pa.Field(nullable=False, str_matches=EVENT_ID_PATTERN)
    number: dt.Int64 = pa.Field(nullable=False, ge=1)
    """Of this event's verdicts, from 1."""
    verdict: dt.String = pa.Field(nullable=False, isin=list(VERDICT))
    by: dt.String = pa.Field(nullable=False, str_length={"min_value": 1, "max_value": LONGEST_NAME})
    """Who said so: a name or an account, as given."""
    note: dt.String = pa.Field(nullable=False, str_length={"max_value": LONGEST_NOTE})
    at: dt.String = pa.Field(nullable=False)
    """When, in UTC (ISO 8601)."""


class VoterVerdictsModel(VerdictModel):
    """Verdicts on events of voter files."""

    month: dt.String = pa.Field(nullable=False, isin=SNAPSHOT_MONTHS)
    state: dt.String = pa.Field(nullable=False, isin=STATES)

    class Config:
        """Strict, keyed by verdict."""

        strict = True
        unique = ("event_id", "number")


class ResultVerdictsModel(VerdictModel):
    """Verdicts on events in House results."""

    election: dt.String = pa.Field(nullable=False, isin=ELECTION_YEARS)

    class Config:
        """Strict, keyed by verdict."""

        strict = True
        unique = ("event_id", "number")


class ProfileVerdictsModel(VerdictModel):
    """Verdicts on events in census profiles."""

    year: dt.String = pa.Field(nullable=False, isin=PROFILE_YEARS)

    class Config:
        """Strict, keyed by verdict."""

        strict = True
        unique = ("event_id", "number")


class RegistrationVerdictsModel(VerdictModel):
    """Verdicts on events in county registrations."""

    month: dt.String = pa.Field(nullable=False, isin=REGISTRATION_MONTHS)

    class Config:
        """Strict, keyed by verdict."""

        strict = True
        unique = ("event_id", "number")


def _verdicts(of: Contract, table: str, model: type[VerdictModel]) -> Contract:
    """The verdicts beside a table of events, partitioned like it, so that a verdict wakes what its own event stops."""
    return Contract(
        layer="variance",
        table=table,
        model=model,
        lake=CURATED,
        description=f"What people said of events in {of.layer}/{of.table}: confirmed, rejected, annotated.",
        owners=WRANGLERS,
        partitions_def=of.partitions_def,
        partition_columns=of.partition_columns,
    )


VOTER_VERDICTS: Final = _verdicts(VOTER_EVENTS, "voter_verdicts", VoterVerdictsModel)
RESULT_VERDICTS: Final = _verdicts(RESULT_CHANGES, "result_verdicts", ResultVerdictsModel)
PROFILE_VERDICTS: Final = _verdicts(PROFILE_CHANGES, "profile_verdicts", ProfileVerdictsModel)
REGISTRATION_VERDICTS: Final = _verdicts(REGISTRATION_CHANGES, "registration_verdicts", RegistrationVerdictsModel)

VERDICTS_ON: Final[Mapping[str, Contract]] = {
    VOTER_EVENTS.table: VOTER_VERDICTS,
    RESULT_CHANGES.table: RESULT_VERDICTS,
    PROFILE_CHANGES.table: PROFILE_VERDICTS,
    REGISTRATION_CHANGES.table: REGISTRATION_VERDICTS,
}
"""The table of verdicts beside each table of events."""


class EventsModel(pa.DataFrameModel):
    """One row per named event of any source."""

    event_id: dt.String = pa.Field(nullable=False, str_matches=EVENT_ID_PATTERN)
    """Made from source, partition, state and what happened: the same after every re-materialization."""
    source: dt.String = pa.Field(nullable=False, isin=list(VERDICTS_ON))
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
    cause: dt.String = pa.Field(nullable=False, isin=list(EVENT_CAUSES))
    kind: dt.String = pa.Field(nullable=False, isin=[*VOTER_EVENT_KINDS, DETECTED_KIND])
    name: dt.String = pa.Field(nullable=False)
    probability: dt.Float64 = pa.Field(nullable=False, ge=0, le=1, metadata={"decimals": 4})
    """Of the cause; 1 where single persons were linked."""
    units: dt.String = pa.Field(nullable=False)
    size: dt.Float64 = pa.Field(nullable=False, metadata={"decimals": 6})
    size_unit: dt.String = pa.Field(nullable=False, isin=["persons", "log change", "share of units"])
    evidence: dt.String = pa.Field(nullable=False)
    same_as: dt.String = pa.Field(nullable=False)
    """The event of another source that this one is: a map change seen twice. Empty for an event of its own."""
    judgement: dt.String = pa.Field(nullable=False, isin=[OPEN, CONFIRMED, REJECTED])
    judged_by: dt.String = pa.Field(nullable=False)
    notes: dt.String = pa.Field(nullable=False)
    """What was said of it, oldest first, with who said it."""
    cuts: dt.Boolean = pa.Field(nullable=False)
    """Whether series of the units end here: the map or its numbers changed, and nobody rejected it."""

    class Config:
        """Strict, keyed by event."""

        strict = True
        unique = ("event_id",)

    @pa.dataframe_check(name="entry_events_are_judged", raise_warning=True)
    @classmethod
    def entry_events_are_judged(cls, data: pa.IbisData) -> object:
        """Every entry event was confirmed or rejected by a person."""
        return (data.table.cause != "entry") | (data.table.judgement != OPEN)


EVENTS: Final = Contract(
    layer="variance",
    table="events",
    model=EventsModel,
    lake=CURATED,
    description="Every named event that changed the data, from linked voter files and from unlinked aggregates.",
    owners=WRANGLERS,
    volume=ANY_VOLUME,
)
