"""Small tables of district results with a known law of change, for tests of the vote model.

Put here the drawing of results, and of the features that follow from them. Keep out expectations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import ibis.expr.types as ir

_COUNTS = ("votes_last", "votes_second_last", "votes_third_last", "state_votes_last", "state_votes_second_last")


@dataclass(frozen=True, kw_only=True)
class Returns:
    """Features and results of the same elections.

    Attributes:
        features: rows of ``features/district_election``.
        results: the columns of ``wrangled/house_results`` that the model reads.
    """

    features: pa.Table
    results: pa.Table

    def tables(self) -> tuple[ir.Table, ir.Table]:
        """Features and results as Ibis tables."""
        return ibis.memtable(self.features), ibis.memtable(self.results)


def returns(
    *,
    first: int = 2000,
    last: int = 2022,
    known_until: int = 2020,
    districts: int = 27,
    noise: float = 0.05,
    seed: int = 1,
) -> Returns:
    """Draw districts of GA and NC: more votes for a president, growth, and noise; results known until one election."""
    draw = np.random.default_rng(seed)
    names = [("GA" if n % 2 else "NC", f"{n // 2 + 1:02d}") for n in range(districts)]
    size = draw.normal(12.3, 0.2, districts)
    votes: dict[int, list[float]] = {}
    for year in range(first, last + 1, 2):
        level = size + 0.35 * (year % 4 == 0) + 0.01 * (year - first) + draw.normal(0.0, noise, districts)
        votes[year] = [float(round(count)) for count in np.exp(level)]
    known = {year: counts for year, counts in votes.items() if year <= known_until}
    features = [_features(year, names, known) for year in range(first, last + 1, 2)]
    results = [
        {"election": str(year), "state": state, "district": district, "total_votes": int(count)}
        for year, counts in known.items()
        for (state, district), count in zip(names, counts, strict=True)
    ]
    return Returns(features=pa.concat_tables(features), results=pa.Table.from_pylist(results))


def _features(year: int, names: list[tuple[str, str]], votes: dict[int, list[float]]) -> pa.Table:
    nothing: list[float | None] = [None] * len(names)
    lags = [votes.get(year - years, nothing) for years in (2, 4, 6)]
    columns = dict(zip(_COUNTS, [*lags, *(_state_means(lag, names) for lag in lags[:2])], strict=True))
    none = pa.nulls(len(names), pa.float64())
    return pa.table(
        {
            "election": [str(year)] * len(names),
            "state": [state for state, _ in names],
            "district": [district for _, district in names],
            "presidential": [int(year % 4 == 0)] * len(names),
            **{name: pa.array(column, pa.float64()) for name, column in columns.items()},
            "uncontested_last": [0] * len(names),
            "profile_year": pa.nulls(len(names), pa.string()),
            "population": none,
            "population_18_and_over": none,
            "share_65_and_over": none,
        }
    )


def _state_means(counts: list[float] | list[float | None], names: list[tuple[str, str]]) -> list[float | None]:
    by_state: dict[str, list[float]] = {}
    for (state, _), count in zip(names, counts, strict=True):
        if count is not None:
            by_state.setdefault(state, []).append(count)
    return [float(np.mean(by_state[state])) if state in by_state else None for state, _ in names]
