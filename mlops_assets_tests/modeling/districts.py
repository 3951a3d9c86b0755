"""Small tables of district results with a known law of change, for tests of the vote model.

Put here the drawing of results, and of the features that follow from them. Keep out expectations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
import numpy as np
import pyarrow as pa

from mlops_assets.contracts import codes, wrangled
from mlops_assets.modeling.training_sets import district_elections
from mlops_assets.platform.contracts import rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir

_SHARES = ("share_last", "share_second_last", "share_third_last", "state_share_last", "nation_share_last")
_COUNTS = ("votes_last", "votes_second_last", "votes_third_last", "state_votes_last", "state_votes_second_last")


@dataclass(frozen=True, kw_only=True, eq=False)
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

    def training_set(self, forecast: str) -> ir.Table:
        """What a model of that forecast may learn from."""
        return district_elections(*self.tables(), forecast)


def returns(
    *,
    first: int = 2000,
    last: int = 2022,
    known_until: int = 2020,
    districts: int = 27,
    noise: float = 0.05,
    seed: int = 1,
) -> Returns:
    """Draw districts of GA and NC: more votes for a president, growth, and noise; results known until one election.

    Each district leans one way, the president's party loses at midterms, and the first district of GA has no
    Republican candidate in 2016.
    """
    draw = np.random.default_rng(seed)
    names = [("GA" if n % 2 else "NC", f"{n // 2 + 1:02d}") for n in range(districts)]
    size, lean = draw.normal(12.3, 0.2, districts), draw.normal(0.5, 0.12, districts)
    votes: dict[int, list[float]] = {}
    shares: dict[int, list[float | None]] = {}
    for year in range(first, last + 1, 2):
        level = size + 0.35 * (year % 4 == 0) + 0.01 * (year - first) + draw.normal(0.0, noise, districts)
        votes[year] = [float(round(count)) for count in np.exp(level)]
        loss = 0.05 * (year % 4 == 2) * (1 if str(year) in codes.DEMOCRATIC_PRESIDENT_AT else -1)
        drawn = np.clip(lean - loss + draw.normal(0.0, noise / 3.0, districts), 0.1, 0.9).round(6)
        shares[year] = [
            None if (year, name) == (2016, ("GA", "01")) else float(s) for s, name in zip(drawn, names, strict=True)
        ]
    known = {year: counts for year, counts in votes.items() if year <= known_until}
    features = [_features(year, names, known, shares) for year in range(first, last + 1, 2)]
    results = [
        {
            "election": str(year),
            "state": state,
            "district": district,
            "total_votes": int(count),
            "democratic_votes": int(count) if share is None else round(share * count),
            "republican_votes": 0 if share is None else int(count) - round(share * count),
        }
        for year, counts in known.items()
        for (state, district), count, share in zip(names, counts, shares[year], strict=True)
    ]
    return Returns(features=pa.concat_tables(features), results=pa.Table.from_pylist(results))


def _features(
    year: int,
    names: list[tuple[str, str]],
    votes: dict[int, list[float]],
    shares: dict[int, list[float | None]],
) -> pa.Table:
    nothing: list[float | None] = [None] * len(names)
    lags = [votes.get(year - years, nothing) for years in (2, 4, 6)]
    columns = dict(zip(_COUNTS, [*lags, *(_state_means(lag, names) for lag in lags[:2])], strict=True))
    share_lags = [shares[year - years] if year - years in votes else nothing for years in (2, 4, 6)]
    last = [share for share in share_lags[0] if share is not None]
    columns |= dict(
        zip(
            _SHARES,
            [*share_lags, _state_means(share_lags[0], names), [float(np.mean(last)) if last else None] * len(names)],
            strict=True,
        )
    )
    none = pa.nulls(len(names), pa.float64())
    return pa.table(
        {
            "election": [str(year)] * len(names),
            "state": [state for state, _ in names],
            "district": [district for _, district in names],
            "presidential": [int(year % 4 == 0)] * len(names),
            **{name: pa.array(column, pa.float64()) for name, column in columns.items()},
            "uncontested_last": [0] * len(names),
            "unopposed_last": [int(bool(last) and share is None) for share in share_lags[0]],
            "president_democratic": [int(str(year) in codes.DEMOCRATIC_PRESIDENT_AT)] * len(names),
            "profile_year": pa.nulls(len(names), pa.string()),
            "population": none,
            "population_18_and_over": none,
            "share_65_and_over": none,
        }
    )


def _state_means(counts: Sequence[float | None], names: list[tuple[str, str]]) -> list[float | None]:
    by_state: dict[str, list[float]] = {}
    for (state, _), count in zip(names, counts, strict=True):
        if count is not None:
            by_state.setdefault(state, []).append(count)
    return [float(np.mean(by_state[state])) if state in by_state else None for state, _ in names]


def as_results(rows: pa.Table) -> pa.Table:
    """Drawn results as rows of ``wrangled/house_results``."""
    contract = rules.columns_of(wrangled.HOUSE_RESULTS)
    constants: dict[str, object] = {"candidates": 2, "uncontested": False, "stage": "GEN", "note": ""}
    for name in contract:
        if name not in rows.column_names:
            value = constants.get(name)
            kind = pa.string() if value is None else None
            rows = rows.append_column(name, pa.array([value] * rows.num_rows, kind))
    return rows.select(list(contract))
