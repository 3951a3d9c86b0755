"""The contract of the segmentation: by which classes registered persons are best told apart before an election.

Put here the table that says which segments to use and why. Keep out the segments' own statistics.
"""

from __future__ import annotations

from typing import Final

import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.contracts.partitions import ELECTION_YEARS, FORECASTS
from mlops_assets.contracts.wrangled import WRANGLERS
from mlops_assets.platform.contract import Contract
from mlops_assets.platform.settings import LakeName


class SegmentationModel(pa.DataFrameModel):
    """One row per way of telling persons apart, compared on elections before that one; one row is chosen."""

    election: dt.String = pa.Field(nullable=False, isin=ELECTION_YEARS)
    """The election to be forecast."""
    candidate: dt.String = pa.Field(nullable=False)
    """Dimensions that are crossed, such as ``district x age_group``; ``whole groups`` for states as a whole."""
    series: dt.String = pa.Field(nullable=False, isin=["", "as labelled", "cut", "bridged"])
    """How districts were treated where their map changed; empty where no district is in it."""
    cells: dt.Int64 = pa.Field(nullable=False, ge=1)
    smallest_cell: dt.Int64 = pa.Field(nullable=False, ge=0)
    """Persons."""
    small_share: dt.Float64 = pa.Field(nullable=False, ge=0, le=1)
    error: dt.Float64 = pa.Field(nullable=False, ge=0, le=1)
    """Of turnout, out of time: the root of the mean squared difference over the finest cells."""
    error_above_best: dt.Float64 = pa.Field(nullable=False)
    standard_error: dt.Float64 = pa.Field(nullable=False, ge=0)
    stability: dt.Float64 = pa.Field(nullable=False, ge=0, le=1)
    tests: dt.Int64 = pa.Field(nullable=False, ge=1)
    eligible: dt.Boolean = pa.Field(nullable=False)
    chosen: dt.Boolean = pa.Field(nullable=False)
    reason: dt.String = pa.Field(nullable=False)

    class Config:
        """Strict, keyed by candidate."""

        strict = True
        unique = ("election", "candidate", "series")


SEGMENTATION: Final = Contract(
    layer="variance",
    table="segmentation",
    model=SegmentationModel,
    lake=LakeName.CURATED,
    description="By which classes registered persons are best told apart before an election: candidates and choice.",
    owners=WRANGLERS,
    partitions_def=FORECASTS,
    partition_columns={"election": "election"},
    quantise={"small_share": 6, "error": 6, "error_above_best": 9, "standard_error": 9, "stability": 6},
)
