"""Contracts of the variance tables: how much each district changed between two times, and why.

Put here comparisons between partitions. Keep out the statistics of a single one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis
import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.contracts import codes
from mlops_assets.contracts.features import SMALLEST_CELL
from mlops_assets.contracts.lakes import CURATED
from mlops_assets.contracts.partitions import (
    ELECTION_YEARS,
    ELECTIONS,
    MONTH_BY_STATE,
    PROFILE_YEARS,
    REGISTRATION_MONTHS,
    REGISTRATIONS,
    SNAPSHOT_MONTHS,
    STATES,
    YEARS,
)
from mlops_assets.contracts.wrangled import DISTRICT_PATTERN, WRANGLERS
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.volume import ANY_VOLUME, Volume

if TYPE_CHECKING:
    import ibis.expr.types as ir

CAUSES: Final = ("boundary", "renumbering", "movers", "joiners", "leavers", "attributes", "entry")
"""Parts of a change between two linked snapshots; together they are the whole change."""

EVENT_CAUSES: Final = ("boundary", "renumbering", "units", "entry", "population")

VOTER_EVENT_KINDS: Final = ("redrawn", "renumbered", "recoded", "reclassed", "repeated", "joiners", "leavers")
"""What happened to a voter file; ``recoded`` values kept their class, ``reclassed`` ones did not."""

DETECTED: Final = ("none", *EVENT_CAUSES)
"""Causes of changes that are detected in aggregates."""


class VoterChangesModel(pa.DataFrameModel):
    """One row per district and statistic: its change since the snapshot before by cause; small cells withheld."""

    state: dt.String = pa.Field(nullable=False, isin=STATES)
    month: dt.String = pa.Field(nullable=False, isin=SNAPSHOT_MONTHS)
    previous_month: dt.String = pa.Field(nullable=False)
    district: dt.String = pa.Field(nullable=False, str_matches=DISTRICT_PATTERN)
    attribute: dt.String = pa.Field(nullable=False)
    category: dt.String = pa.Field(nullable=False)
    before: dt.Int64 = pa.Field(nullable=True, ge=0)
    after: dt.Int64 = pa.Field(nullable=True, ge=0)
    boundary: dt.Int64 = pa.Field(nullable=True)
    renumbering: dt.Int64 = pa.Field(nullable=True)
    movers: dt.Int64 = pa.Field(nullable=True)
    joiners: dt.Int64 = pa.Field(nullable=True)
    leavers: dt.Int64 = pa.Field(nullable=True)
    attributes: dt.Int64 = pa.Field(nullable=True)
    entry: dt.Int64 = pa.Field(nullable=True)
    suppressed: dt.Boolean = pa.Field(nullable=False)
    """Whether the row's counts are withheld (NULL), because the cell is small in either snapshot, or would tell one."""

    class Config:
        """Strict, keyed by statistic."""

        strict = True
        unique = ("state", "month", "district", "attribute", "category")

    @pa.dataframe_check(name="parts_add_up")
    @classmethod
    def parts_add_up(cls, data: pa.IbisData) -> object:
        """The parts of a change are the whole of it."""
        parts = sum((data.table[cause] for cause in CAUSES[1:]), data.table[CAUSES[0]])
        return data.table.suppressed | (data.table.before + parts == data.table.after)

    @pa.dataframe_check(name="no_small_cell")
    @classmethod
    def no_small_cell(cls, data: pa.IbisData) -> object:
        """A snapshot's count of few persons is never published."""
        table = data.table

        def large(count: ir.IntegerColumn) -> ir.BooleanValue:
            return (count == 0) | (count >= SMALLEST_CELL)

        withheld = table.before.isnull() & table.after.isnull()
        return ibis.ifelse(table.suppressed, withheld, large(table.before) & large(table.after))


VOTER_CHANGES: Final = Contract(
    layer="variance",
    table="voter_changes",
    model=VoterChangesModel,
    lake=CURATED,
    description="How each district's registered voters changed since the snapshot before, split exactly by cause.",
    owners=WRANGLERS,
    volume=Volume(allow_empty=True),
    partitions_def=MONTH_BY_STATE,
    partition_columns={"month": "month", "state": "state"},
)


class VoterEventsModel(pa.DataFrameModel):
    """One row per event that changed a state's voter file between two snapshots."""

    state: dt.String = pa.Field(nullable=False, isin=STATES)
    month: dt.String = pa.Field(nullable=False, isin=SNAPSHOT_MONTHS)
    cause: dt.String = pa.Field(nullable=False, isin=list(EVENT_CAUSES))
    kind: dt.String = pa.Field(nullable=False, isin=list(VOTER_EVENT_KINDS))
    name: dt.String = pa.Field(nullable=False)
    """What happened, in a few words, such as ``party_code UNA recoded to NPA``."""
    units: dt.String = pa.Field(nullable=False)
    """Districts concerned, separated by commas; ``all`` for the whole state."""
    persons: dt.Int64 = pa.Field(nullable=False, ge=0)
    share: dt.Float64 = pa.Field(nullable=False, ge=0, metadata={"decimals": 6})
    """Persons concerned as a share of the state's registered voters."""
    evidence: dt.String = pa.Field(nullable=False)

    class Config:
        """Strict, keyed by event."""

        strict = True
        unique = ("state", "month", "cause", "name")


VOTER_EVENTS: Final = Contract(
    layer="variance",
    table="voter_events",
    model=VoterEventsModel,
    lake=CURATED,
    description="Events that changed the voter file since the snapshot before, each with its cause and evidence.",
    owners=WRANGLERS,
    volume=ANY_VOLUME,
    partitions_def=MONTH_BY_STATE,
    partition_columns={"month": "month", "state": "state"},
)


class DistrictFlowsModel(pa.DataFrameModel):
    """One row per pair of districts between which unmoved persons changed, or in which they stayed."""

    state: dt.String = pa.Field(nullable=False, isin=STATES)
    month: dt.String = pa.Field(nullable=False, isin=SNAPSHOT_MONTHS)
    district_before: dt.String = pa.Field(nullable=False, str_matches=DISTRICT_PATTERN)
    district_after: dt.String = pa.Field(nullable=False, str_matches=DISTRICT_PATTERN)
    persons: dt.Int64 = pa.Field(nullable=False, ge=SMALLEST_CELL)
    """Persons at an unchanged address; pairs of fewer than the smallest cell are left out."""

    class Config:
        """Strict, keyed by pair."""

        strict = True
        unique = ("state", "month", "district_before", "district_after")


DISTRICT_FLOWS: Final = Contract(
    layer="variance",
    table="district_flows",
    model=DistrictFlowsModel,
    lake=CURATED,
    description="Where the persons of each district went when the map or its numbers changed: a crosswalk.",
    owners=WRANGLERS,
    volume=ANY_VOLUME,
    partitions_def=MONTH_BY_STATE,
    partition_columns={"month": "month", "state": "state"},
)


class DetectedModel(pa.DataFrameModel):
    """One row per state and time: what happened to its districts or counties since the time before, by detection."""

    state: dt.String = pa.Field(nullable=False, isin=list(codes.FIPS_BY_STATE))
    compared_with: dt.String = pa.Field(nullable=False)
    """The time before of that source."""
    states: dt.Int64 = pa.Field(nullable=False, ge=1)
    """How many states were compared; a wave cannot be learned from few."""
    cause: dt.String = pa.Field(nullable=False, isin=list(DETECTED))
    probability: dt.Float64 = pa.Field(nullable=False, ge=0, le=1, metadata={"decimals": 4})
    magnitude: dt.Float64 = pa.Field(nullable=False, metadata={"decimals": 6})
    """In natural logarithms; of a renumbering the share of units."""
    units: dt.String = pa.Field(nullable=False)
    """Those concerned, separated by commas; ``all`` for the whole state; empty for ``none``."""
    evidence: dt.String = pa.Field(nullable=False)


class ResultChangesModel(DetectedModel):
    """Changes of House results."""

    election: dt.String = pa.Field(nullable=False, isin=ELECTION_YEARS)

    class Config:
        """Strict, keyed by state and election."""

        strict = True
        unique = ("election", "state")


class ProfileChangesModel(DetectedModel):
    """Changes of census profiles."""

    year: dt.String = pa.Field(nullable=False, isin=PROFILE_YEARS)

    class Config:
        """Strict, keyed by state and year."""

        strict = True
        unique = ("year", "state")


class RegistrationChangesModel(DetectedModel):
    """Changes of county registrations."""

    month: dt.String = pa.Field(nullable=False, isin=REGISTRATION_MONTHS)

    class Config:
        """Strict, keyed by state and month."""

        strict = True
        unique = ("month", "state")


RESULT_CHANGES: Final = Contract(
    layer="variance",
    table="result_changes",
    model=ResultChangesModel,
    lake=CURATED,
    description="What happened to each state's House districts since the election before, detected in their results.",
    owners=WRANGLERS,
    volume=Volume(allow_empty=True),
    partitions_def=ELECTIONS,
    partition_columns={"election": "election"},
)

PROFILE_CHANGES: Final = Contract(
    layer="variance",
    table="profile_changes",
    model=ProfileChangesModel,
    lake=CURATED,
    description="What happened to each state's districts since the census profile before, detected in their measures.",
    owners=WRANGLERS,
    volume=Volume(allow_empty=True),
    partitions_def=YEARS,
    partition_columns={"year": "year"},
)

REGISTRATION_CHANGES: Final = Contract(
    layer="variance",
    table="registration_changes",
    model=RegistrationChangesModel,
    lake=CURATED,
    description="What happened to each state's counties since the registration statistic before, detected in counts.",
    owners=WRANGLERS,
    volume=Volume(allow_empty=True),
    partitions_def=REGISTRATIONS,
    partition_columns={"month": "month"},
)
