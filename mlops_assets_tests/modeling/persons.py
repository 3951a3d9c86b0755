"""A small electorate with a known law of turnout, for tests of the turnout model.

Put here the drawing of persons and their votes. Keep out expectations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import ibis
import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir
    import numpy.typing as npt

_FIRST_ELECTION: Final = 2000
_FIRST_PUBLISHED: Final = 2010
_STATES: Final = ("GA", "NC")


@dataclass(frozen=True, kw_only=True)
class Electorate:
    """Rows of ``features/person_turnout`` of several elections, drawn from a logistic law.

    Attributes:
        table: the rows; ``voted`` is null in elections that have not happened.
        turnout: for each election, state and district the share that votes, also where it is not known yet.
    """

    table: pa.Table
    turnout: dict[tuple[str, str, str], float]

    def features(self) -> ir.Table:
        """The rows as an Ibis table."""
        return ibis.memtable(self.table)


def electorate(
    *,
    persons: int = 4_000,
    last: int = 2022,
    unknown: Sequence[int] = (2022,),
    districts: int = 6,
    seed: int = 1,
) -> Electorate:
    """Draw two states of ``districts`` districts each, all elections from 2010 to ``last``.

    Turnout rises with age and habit, and for a president; districts differ. What happened before 2010 is not in the
    rows, so that, as in real files, the first elections lack part of the history.
    """
    draw = np.random.default_rng(seed)
    state = draw.integers(0, 2, persons)
    district = draw.integers(1, districts + 1, persons)
    born = 1927 + 5 * draw.integers(0, 14, persons)
    registered = np.maximum(born + 18, draw.integers(1980, 2012, persons))
    gender = draw.choice(["FEMALE", "MALE", "UNDESIGNATED"], persons, p=[0.52, 0.44, 0.04]).astype(object)
    party = draw.choice(["DEMOCRATIC", "REPUBLICAN", "UNAFFILIATED"], persons).astype(object)
    habit = draw.normal(0.0, 0.7, persons) + 0.15 * (district - districts / 2)
    none = np.zeros(persons, dtype=np.int64)
    votes = {_FIRST_ELECTION - 2: none}
    rows: list[pa.Table] = []
    turnout: dict[tuple[str, str, str], float] = {}
    for year in range(_FIRST_ELECTION, last + 1, 2):
        before = [votes.get(year - years, none) for years in (2, 4, 6)]
        presidential = int(year % 4 == 0)
        pull = -1.4 + 0.03 * (year - born - 45) + 1.1 * presidential + 0.9 * before[0] + 0.6 * before[1] + habit
        votes[year] = (draw.random(persons) < 1.0 / (1.0 + np.exp(-pull))).astype(np.int64)
        if year < _FIRST_PUBLISHED:
            continue
        before = [votes[year - years] if year - years >= _FIRST_PUBLISHED else none for years in (2, 4, 6)]
        place = _mean_by(before[0], state * 100 + district)
        here = np.flatnonzero(registered <= year)
        count = len(here)
        unknown_age = draw.random(count) < 0.02
        party_last = np.where(sum(before) > 0, party, "NONE")
        rows.append(
            pa.table(
                {
                    "state": [_STATES[s] for s in state[here]],
                    "election": [str(year)] * count,
                    "person_token": [f"{n * 2654435761 % 2**32:08x}{n:024x}" for n in here.tolist()],
                    "district": [f"{d:02d}" for d in district[here]],
                    "county": [f"COUNTY {d:02d}" for d in district[here]],
                    "snapshot_month": ["2021-07"] * count,
                    "age": pa.array(year - born[here], pa.int64(), mask=unknown_age),
                    "age_group": _age_groups(year - born[here], unknown_age),
                    "years_registered": year - registered[here],
                    "presidential": pa.array([presidential] * count, pa.int64()),
                    "voted_last": before[0][here],
                    "voted_second_last": before[1][here],
                    "voted_third_last": before[2][here],
                    "party_last": pa.array(party_last[here], pa.string()),
                    "gender": pa.array(gender[here], pa.string()),
                    "place_turnout": place[here].round(6),
                    "voted": pa.array(votes[year][here], pa.int64(), mask=np.full(count, year in unknown)),
                }
            )
        )
        shares = _mean_by(votes[year][here], (state * 100 + district)[here])
        for n, share in zip(here, shares, strict=True):
            turnout[str(year), _STATES[state[n]], f"{district[n]:02d}"] = float(share)
    return Electorate(table=pa.concat_tables(rows), turnout=turnout)


def _age_groups(ages: npt.NDArray[np.int64], unknown: npt.NDArray[np.bool_]) -> list[str]:
    """Two groups, and those of whom nothing is known."""
    groups: list[str] = np.where(unknown, "UNKNOWN", np.where(ages < 45, "18-44", "45+")).tolist()
    return groups


def _mean_by(values: npt.NDArray[np.int64], group: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """For each row the mean of its group."""
    means: npt.NDArray[np.float64] = (np.bincount(group, weights=values) / np.maximum(np.bincount(group), 1))[group]
    return means
