"""Contracts of drift: what is kept of each snapshot to compare it with others, and how far each is from the one before.

Put here summaries of partitions and comparisons of them. Keep out changes whose cause is named.
"""

from __future__ import annotations

from typing import Final

import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.contracts.lakes import CURATED
from mlops_assets.contracts.partitions import MONTH_BY_STATE, SNAPSHOT_MONTHS, STATES
from mlops_assets.contracts.wrangled import WRANGLERS
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.volume import Volume

VERDICTS: Final = ("none", "small", "moderate", "strong", "unknown")


class VoterSummariesModel(pa.DataFrameModel):
    """One row per column and cell of its summary, of one state and month; see ``summary_tables`` of the engine.

    Sampled rows are like those of ``wrangled/voters``, without pseudonyms of persons and addresses.
    """

    state: dt.String = pa.Field(nullable=False, isin=STATES)
    month: dt.String = pa.Field(nullable=False, isin=SNAPSHOT_MONTHS)
    column: dt.String = pa.Field(nullable=False)
    kind: dt.String = pa.Field(nullable=False, isin=["number", "category"])
    cell: dt.String = pa.Field(nullable=False)
    """``total``, ``null``, ``nan``, ``below``, ``above``, ``bin``, ``value``, ``bucket`` or ``sample``."""
    place: dt.Int64 = pa.Field(nullable=False, ge=0)
    level: dt.Int64 = pa.Field(nullable=False, ge=0, le=64)
    text: dt.String = pa.Field(nullable=True)
    low: dt.Float64 = pa.Field(nullable=True)
    high: dt.Float64 = pa.Field(nullable=True)
    rows: dt.Int64 = pa.Field(nullable=False, ge=0)

    class Config:
        """Strict, keyed by cell."""

        strict = True
        unique = ("state", "month", "column", "cell", "place")


VOTER_SUMMARIES: Final = Contract(
    layer="variance",
    table="voter_summaries",
    model=VoterSummariesModel,
    lake=CURATED,
    description="What is kept of each voter-file snapshot to compare it with any other without reading it again.",
    owners=WRANGLERS,
    partitions_def=MONTH_BY_STATE,
    partition_columns={"month": "month", "state": "state"},
)


class DriftModel(pa.DataFrameModel):
    """One row per state, month and column (or all columns together): how far it is from the snapshot before."""

    state: dt.String = pa.Field(nullable=False, isin=STATES)
    month: dt.String = pa.Field(nullable=False, isin=SNAPSHOT_MONTHS)
    previous_month: dt.String = pa.Field(nullable=False, isin=SNAPSHOT_MONTHS)
    column: dt.String = pa.Field(nullable=False)
    kind: dt.String = pa.Field(nullable=False)
    rows_before: dt.Int64 = pa.Field(nullable=True, ge=0)
    rows_after: dt.Int64 = pa.Field(nullable=True, ge=0)
    missing_before: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 6})
    missing_after: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 6})
    psi: dt.Float64 = pa.Field(nullable=True, ge=0, metadata={"decimals": 6})
    """Population stability index."""
    jensen_shannon: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 6})
    """Jensen-Shannon distance to base 2."""
    chi_square: dt.Float64 = pa.Field(nullable=True, ge=0, metadata={"decimals": 6})
    degrees_of_freedom: dt.Float64 = pa.Field(nullable=True, ge=0)
    cramers_v: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 6})
    ks: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 6})
    """Kolmogorov-Smirnov statistic at the edges of bins; on the rows it is from this to ``ks + ks_bound``."""
    ks_bound: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 6})
    wasserstein: dt.Float64 = pa.Field(nullable=True, ge=0, metadata={"decimals": 6})
    """Wasserstein distance in the column's unit, within ``wasserstein_bound`` of that on the rows."""
    wasserstein_bound: dt.Float64 = pa.Field(nullable=True, ge=0, metadata={"decimals": 6})
    wasserstein_scaled: dt.Float64 = pa.Field(nullable=True, ge=0, metadata={"decimals": 6})
    """The same in standard deviations before."""
    mean_before: dt.Float64 = pa.Field(nullable=True, metadata={"decimals": 6})
    mean_after: dt.Float64 = pa.Field(nullable=True, metadata={"decimals": 6})
    auc: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 6})
    """How well a classifier tells sampled rows of both months apart; 0.5 is by chance."""
    auc_error: dt.Float64 = pa.Field(nullable=True, ge=0, metadata={"decimals": 6})
    p_value: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 12})
    q_value: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 12})
    """The p-value among all states and columns of its month and what was looked at before; see ``repetition`` of the
    engine."""
    drift: dt.String = pa.Field(nullable=False, isin=list(VERDICTS))
    largest_change: dt.String = pa.Field(nullable=False)
    """The value or range of values whose share of rows changed most, with both shares."""
    gone: dt.String = pa.Field(nullable=False)
    """Values that no row has any more, beyond chance, with how many had them."""
    appeared: dt.String = pa.Field(nullable=False)
    """Values that no row had before, likewise."""
    note: dt.String = pa.Field(nullable=False)

    class Config:
        """Strict, keyed by column."""

        strict = True
        unique = ("state", "month", "column")


DRIFT: Final = Contract(
    layer="variance",
    table="drift",
    model=DriftModel,
    lake=CURATED,
    description="How far each column of each voter-file snapshot is from the one before: all months in one table.",
    owners=WRANGLERS,
    volume=Volume(allow_empty=True),
)
