"""Small hand-made House results and district profiles.

Put here tables that tests of features and of changes share. Keep out expectations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
import pyarrow as pa

from mlops_assets.contracts.wrangled import DISTRICT_PROFILES, HOUSE_RESULTS
from mlops_assets.platform.contracts import rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import ibis.expr.types as ir

Row = dict[str, object]


def seat(election: str, district: str, votes: int | None, *, state: str = "NC", uncontested: bool = False) -> Row:
    """One row of ``wrangled/house_results``."""
    return {
        "election": election, "state": state, "district": district, "total_votes": votes, "democratic_votes": None,
        "republican_votes": None, "winner_token": None, "candidates": 1 if uncontested else 2,
        "uncontested": uncontested, "stage": "GEN", "note": "",
    }  # fmt: skip


def nation(election: str, votes: Mapping[str, Iterable[int | None]]) -> list[Row]:
    """House results of states given as the votes of their districts, numbered from 01."""
    return [
        seat(election, f"{number:02d}", count, state=state, uncontested=count is None)
        for state, counts in votes.items()
        for number, count in enumerate(counts, start=1)
    ]


def house_results(rows: list[Row]) -> ir.Table:
    """Rows as ``wrangled/house_results``."""
    schema = ibis.schema(rules.columns_of(HOUSE_RESULTS)).to_pyarrow()
    return ibis.memtable(pa.Table.from_pylist(rows, schema=pa.schema([f.with_nullable(nullable=True) for f in schema])))


def profile(year: str, district: str, *, congress: int | None, dataset: str = "acs1", **measures: float) -> list[Row]:
    """Rows of ``wrangled/district_profiles`` for one district of North Carolina."""
    return [
        {
            "year": year, "dataset": dataset, "state": "NC", "district": district, "congress": congress,
            "measure": measure, "value": value, "code": "HC01_VC03",
        }
        for measure, value in measures.items()
    ]  # fmt: skip


def district_profiles(*profiles: list[Row]) -> ir.Table:
    """Rows as ``wrangled/district_profiles``."""
    schema = ibis.schema(rules.columns_of(DISTRICT_PROFILES)).to_pyarrow()
    rows = [row for rows in profiles for row in rows]
    return ibis.memtable(pa.Table.from_pylist(rows, schema=pa.schema([f.with_nullable(nullable=True) for f in schema])))
