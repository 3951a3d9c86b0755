"""Persons of the turnout features, counted in cells of equal features: exact for training, and no person is in it.

Put here how rows of persons become cells and which elections can be learned from. Keep out the model.

A logistic regression sees persons only through how many of them share all features and how many of those voted.
Counting in the engine keeps persons out of the training process and makes it faster, and integers add up the same in
any order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.modeling.errors import TrainingError
from mlops_assets.modeling.segments import EXPECTED, SEGMENT, with_segments

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import ibis.expr.types as ir

FEATURES: Final = (
    "age",
    "years_registered",
    "presidential",
    "voted_last",
    "voted_second_last",
    "voted_third_last",
    "party_last",
    "gender",
    "place_turnout",
)
"""Raw columns that the turnout model reads."""

HISTORY: Final = ("voted_last", "voted_second_last", "voted_third_last")
DISTRICT: Final = ("election", "state", "district")
MOST_PERSONS: Final = 4_000_000
"""Above this many persons a training set is a sample of them; predictions always count everybody."""

_HEX_DIGITS: Final = 8


def turnout_cells(features: ir.Table, *, also: Sequence[str] = ()) -> pa.Table:
    """Count persons in cells of equal district and features.

    Where nobody of a state voted in an earlier election, that election is not in the voting history: what looks like
    "did not vote" is unknown, and becomes null (``place_turnout`` with ``voted_last``).

    Args:
        features: rows of ``features/person_turnout``.
        also: further columns that are equal in a cell.

    Returns:
        One row per cell: :data:`DISTRICT`, :data:`FEATURES`, those columns, ``voters`` (persons), ``labelled`` (those
        of them whose vote is known) and ``voted``; sorted by the cell, so that equal persons give equal tables.
    """
    keys = [*DISTRICT, *FEATURES, *also]
    counted = features.group_by(keys).aggregate(
        voters=ibis._.count(), labelled=ibis._.voted.count(), voted=ibis._.voted.sum().fill_null(0)
    )
    cells = counted.to_pyarrow().cast(
        pa.schema(
            [
                *((name, pa.string()) for name in DISTRICT),
                *((name, _arrow_type(name)) for name in (*FEATURES, *also)),
                *((name, pa.int64()) for name in ("voters", "labelled", "voted")),
            ]
        )
    )
    return _without_unknown_history(cells.sort_by([(key, "ascending") for key in keys]))


def training_cells(features: ir.Table, election: str, segments: pa.Table | None = None) -> pa.Table:
    """Cells of the elections before that one whose outcome is known, of a sample of persons where there are very many.

    Args:
        features: rows of ``features/person_turnout``; those of the election itself or later are never looked at.
        election: the election to be forecast.
        segments: rows of ``features/segment_turnout`` of that forecast, where there are any.

    Returns:
        Cells (see :func:`turnout_cells`) with the segment of their persons, and the turnout that elections before
        theirs let expect of it.

    Raises:
        TrainingError: there is no earlier election with known outcome and some voting history.
    """
    before = features.filter((features.election < election) & features.voted.notnull())
    persons = int(before.count().to_pyarrow().as_py())
    if persons > MOST_PERSONS:
        # Tokens are keyed hashes, so a prefix is a fair draw, and a person is drawn in every election or in none.
        limit = min(int(16**_HEX_DIGITS * MOST_PERSONS / persons), 16**_HEX_DIGITS - 1)
        before = before.filter(before.person_token.substr(0, _HEX_DIGITS) < f"{limit:0{_HEX_DIGITS}x}")
    cells = turnout_cells(with_segments(before, segments), also=(SEGMENT, EXPECTED))
    known = cells.filter(pc.is_valid(cells.column("voted_last")))
    if not known.num_rows:
        raise TrainingError(
            source=f"Features of persons before the election of {election}",
            culprit=f"of {persons} persons in earlier elections with known outcome none has a known vote before that.",
            remedy="Publish features/person_turnout and the voting history of at least one earlier election.",
        )
    return known


def stored_cells(training_set: ir.Table) -> pa.Table:
    """The cells of a published training set, in the order of :func:`turnout_cells`, whatever order the lake gives."""
    cells = training_set.drop("forecast").to_pyarrow()
    return cells.sort_by([(key, "ascending") for key in (*DISTRICT, *FEATURES, SEGMENT)])


def elections_of(cells: pa.Table) -> tuple[str, ...]:
    """The elections in the cells, oldest first."""
    return tuple(sorted(pc.unique(cells.column("election")).to_pylist()))


def of_elections(cells: pa.Table, elections: tuple[str, ...]) -> pa.Table:
    """The cells of those elections."""
    return cells.filter(pc.is_in(cells.column("election"), value_set=pa.array(elections, pa.string())))


def is_presidential(election: str) -> bool:
    """Whether a president is elected that year (every fourth year)."""
    return int(election) % 4 == 0


def most_telling(cells: pa.Table) -> tuple[pa.Table, tuple[str, ...]]:
    """The cells to learn from, and the columns of voting history that all of them know.

    The oldest elections lack part of the history. Learning from as much history as possible may leave elections of one
    kind only (presidential or not), from which the other kind cannot be predicted; then less history is better.

    Args:
        cells: labelled cells in which at least the last vote is known.

    Returns:
        Cells and columns of the deepest history known in elections of both kinds; of the deepest at all, if no depth
        has both kinds.
    """
    choices = []
    for depth in range(len(HISTORY), 0, -1):
        known = cells
        for column in HISTORY[:depth]:
            known = known.filter(pc.is_valid(known.column(column)))
        if known.num_rows:
            choices.append((known, HISTORY[:depth]))
    both = [choice for choice in choices if len(kinds_of(elections_of(choice[0]))) == 2]  # noqa: PLR2004 - yes and no
    return (both or choices)[0]


def kinds_of(elections: Iterable[str]) -> set[bool]:
    """The kinds of these elections: presidential (true), not (false), or both."""
    return {is_presidential(election) for election in elections}


def weights(cells: pa.Table, column: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A column of counts as numbers."""
    return cells.column(column).to_numpy().astype(np.float64)  # type: ignore[no-any-return]  # pyarrow has no types


def _arrow_type(feature: str) -> pa.DataType:
    if feature in {"party_last", "gender", SEGMENT}:
        return pa.string()
    return pa.float64() if feature in {"place_turnout", EXPECTED} else pa.int64()


def _without_unknown_history(cells: pa.Table) -> pa.Table:
    places = cells.group_by(["election", "state"]).aggregate([(column, "max") for column in HISTORY]).to_pylist()
    for column in HISTORY:
        unknown = {(place["election"], place["state"]): place[f"{column}_max"] == 0 for place in places}
        for name in (column, "place_turnout") if column == HISTORY[0] else (column,):
            cells = _nulled(cells, name, unknown)
    return cells


def _nulled(cells: pa.Table, name: str, unknown: Mapping[tuple[str, str], bool]) -> pa.Table:
    mask = pa.array([False] * cells.num_rows, pa.bool_())
    for (election, state), is_unknown in unknown.items():
        if is_unknown:
            here = pc.and_(pc.equal(cells.column("election"), election), pc.equal(cells.column("state"), state))
            mask = pc.or_(mask, here)
    values = cells.column(name)
    return cells.set_column(
        cells.column_names.index(name), name, pc.if_else(mask, pa.scalar(None, values.type), values)
    )
