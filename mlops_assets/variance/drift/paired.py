"""Paired tests: whether a column moved between two partitions that hold the same entities, in part or all.

Put here tests that know who is in both. Keep out distances, which do not need to know it.

Two snapshots of the same entities are not independent: who stays the same says nothing of drift, and tests of
independent rows, to which that is half of the evidence, hardly ever find anything. Here the change of the shares of all
values is set against its variance as single entities make it up, with the pooled shares of both sides: who stays in a
value adds nothing, who changed it, joined or left adds what it did. Where all are in both it is the test of Stuart
(1955) and Maxwell (1970), for two values that of McNemar (1947); where nobody is, it is Pearson's in the limit.

Numbers are counted in ten groups of equal mass. That they rose or fell in one and the same entity is tested besides, by
the sign test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import ibis
import numpy as np
from scipy import stats  # type: ignore[import-untyped]  # SciPy ships no types

from mlops_assets.variance.errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

FEWEST_CHANGES: Final = 10
"""Values that fewer entities took or gave up are put together: their share of the statistic is not normal."""

MOST_VALUES: Final = 200
"""Of more values those that most entities took or gave up are tested each, the others together."""

GROUPS: Final = 10
"""Groups of equal mass in which numbers are counted."""

_ABSENT: Final = -1


@dataclass(frozen=True, kw_only=True)
class Paired:
    """A paired test of one column.

    Attributes:
        both: entities in both partitions.
        changed: those of them whose value is another one.
        p_value: that shares of values moved as far by chance.
    """

    both: int
    changed: int
    p_value: float

    @property
    def note(self) -> str:
        """What it rests on."""
        return f"Paired: {self.both:,} are in both, {self.changed:,} of them changed."


def paired(before: ir.Table, after: ir.Table, *, entity: str, columns: Sequence[str]) -> dict[str, Paired]:
    """Test columns of two partitions of the same entities.

    Args:
        before: the earlier partition, one row per entity.
        after: the later one, likewise.
        entity: the column that identifies an entity; rows without identifier are linked to none.
        columns: those to test. Numbers and times in both are compared as numbers, all others as texts.

    Returns:
        For each column its test; none for columns without any row on one side.

    Raises:
        ComparisonError: a column is missing, or an identifier repeats.
    """
    for name, side in (("earlier", before), ("later", after)):
        missing = sorted({entity, *columns} - set(side.columns))
        if missing:
            raise ComparisonError(f"The {name} partition has no column {', '.join(missing)}. Name others.")
        known = side.filter(side[entity].notnull())
        repeated = known.count() - known[entity].nunique()
        if before.get_backend().to_pyarrow(repeated).as_py():
            raise ComparisonError(
                f"The {name} partition has identifiers in column {entity} that repeat. Name a column that identifies."
            )
    found = {name: _tested(before, after, entity, name) for name in columns}
    return {name: test for name, test in found.items() if test is not None}


def shares_moved(before: Codes, after: Codes, entities: Codes) -> float:
    """The chance that shares of values moved as far as they did.

    Args:
        before: the value of each way before, from 0; -1 where the entity was not there.
        after: likewise, after.
        entities: how many took that way.
    """
    before, after, entities = _pooled(before, after, entities)
    values = int(max(before.max(initial=-1), after.max(initial=-1))) + 1
    was, now = before != _ABSENT, after != _ABSENT
    sizes = [entities[there].sum() for there in (was, now)]
    if values < 2 or not min(sizes):  # noqa: PLR2004  one value cannot move
        return 1.0
    if values == 2 and (was & now).all():  # noqa: PLR2004  McNemar's, exact
        up = int(entities[after > before].sum())
        return float(stats.binomtest(up, up + int(entities[after < before].sum())).pvalue)
    shares = [
        np.bincount(side[there], entities[there], values) / size
        for side, there, size in zip((before, after), (was, now), sizes, strict=True)
    ]
    pooled = (shares[0] * sizes[0] + shares[1] * sizes[1]) / sum(sizes)
    unit = np.vstack([np.eye(values), pooled])  # whoever is not there adds nothing: its share less itself
    adds = (unit[after] - pooled) / sizes[1] - (unit[before] - pooled) / sizes[0]
    variance = (adds * entities[:, None]).T @ adds
    change = shares[1] - shares[0]
    # One share follows from the others; what nobody changed has no variance and no change.
    inverse = np.linalg.pinv(variance, hermitian=True, rcond=1e-9)
    rank = int(np.linalg.matrix_rank(variance, hermitian=True, tol=1e-9 * max(variance.max(), 0.0)))
    return float(stats.chi2.sf(change @ inverse @ change, rank)) if rank else 1.0


def absence(before: Codes, after: Codes, entities: Codes) -> float:
    """The chance that a value is given up by all who had it, or taken up by all who have it, whichever is smallest.

    Each of those who gave up or took up a value could as well have done the other.
    """
    values = int(max(before.max(initial=-1), after.max(initial=-1))) + 1
    counts = [np.bincount(side[side != _ABSENT], entities[side != _ABSENT], values) for side in (before, after)]
    lone = (np.minimum(*counts) == 0) & (np.maximum(*counts) > 0)
    return float(np.min(np.where(lone, 2.0 * 0.5 ** (counts[0] + counts[1]), 1.0), initial=1.0) * max(values, 1))


def _pooled(before: Codes, after: Codes, entities: Codes) -> tuple[Codes, Codes, Codes]:
    """The same with the values put together that few entities took or gave up, and each way once."""
    values = int(max(before.max(initial=-1), after.max(initial=-1))) + 1
    other = before != after
    changes = np.zeros(values, dtype=np.int64)
    for side in (before, after):
        np.add.at(changes, side[other & (side != _ABSENT)], entities[other & (side != _ABSENT)])
    own = np.argsort(-changes, kind="stable")[:MOST_VALUES]
    own = own[changes[own] >= FEWEST_CHANGES]
    code = np.zeros(values + 1, dtype=np.int64)
    code[own] = np.arange(len(own)) + (len(own) < values)
    code[_ABSENT] = _ABSENT
    ways, place = np.unique(np.stack([code[before], code[after]]), axis=1, return_inverse=True)
    return ways[0], ways[1], np.bincount(place.ravel(), entities).astype(np.int64)


def _tested(before: ir.Table, after: ir.Table, entity: str, column: str) -> Paired | None:
    engine = before.get_backend()
    numeric = all(_is_number(side[column]) for side in (before, after))
    sides = [
        side.select(
            **{
                f"entity_{when}": side[entity],
                f"value_{when}": _number(side[column]) if numeric else side[column].cast("string"),
                f"there_{when}": ibis.literal(value=True),
            }
        )
        for when, side in (("before", before), ("after", after))
    ]
    pairs = sides[0].outer_join(sides[1], sides[0].entity_before == sides[1].entity_after)
    was, now = pairs.there_before.notnull(), pairs.there_after.notnull()
    cells = {"b": pairs.value_before, "a": pairs.value_after}
    signs = {"up": pairs.value_after > pairs.value_before, "down": pairs.value_after < pairs.value_before}
    if numeric:
        edges = _edges(before, after, column)
        cells = {name: _group(value, edges) for name, value in cells.items()}
    changed = was & now & ~pairs.value_before.identical_to(pairs.value_after)
    ways = pairs.group_by(was=was, now=now, **cells).agg(
        n=pairs.count(),
        changed=changed.cast("int64").sum(),
        **{name: sign.cast("int64").sum().fill_null(0) for name, sign in signs.items()},
    )
    rows = engine.to_pyarrow(ways)
    flags = {name: rows[name].to_numpy(zero_copy_only=False).astype(bool) for name in ("was", "now")}
    n, moved, up, down = (
        rows[name].to_numpy(zero_copy_only=False).astype(np.int64) for name in ("n", "changed", "up", "down")
    )
    values = {name: place for place, name in enumerate(dict.fromkeys(rows["b"].to_pylist() + rows["a"].to_pylist()))}
    earlier, later = (
        np.where(flags[side], [values[value] for value in rows[name].to_pylist()], _ABSENT).astype(np.int64)
        for side, name in (("was", "b"), ("now", "a"))
    )
    if not (n[flags["was"]].sum() and n[flags["now"]].sum()):
        return None
    if numeric:
        rose, fell = int(up.sum()), int(down.sum())
        other = float(stats.binomtest(rose, rose + fell).pvalue) if rose + fell else 1.0
    else:
        other = absence(earlier, later, n)
    return Paired(
        both=int(n[flags["was"] & flags["now"]].sum()),
        changed=int(moved.sum()),
        # Two tests of one column: the smaller p-value counts twice.
        p_value=min(1.0, 2 * min(shares_moved(earlier, later, n), other)),
    )


def _is_number(column: ir.Value) -> bool:
    kind = column.type()
    return bool(kind.is_numeric() or kind.is_date() or kind.is_timestamp())


def _number(column: ir.Value) -> ir.FloatingValue:
    kind = column.type()
    if kind.is_date() or kind.is_timestamp():
        return column.cast("timestamp").epoch_seconds().cast("float64")
    value = column.cast("float64")
    return ibis.ifelse(value.isnan(), None, value)


def _edges(before: ir.Table, after: ir.Table, column: str) -> list[float]:
    """Where groups of equal mass of both sides together begin, the first left out."""
    values = ibis.union(*(side.select(value=_number(side[column])) for side in (before, after)))
    shares = [place / GROUPS for place in range(1, GROUPS)]
    found = before.get_backend().to_pyarrow(values.value.quantile(shares)).as_py() or []
    return sorted({edge for edge in found if edge is not None})


def _group(value: ir.FloatingValue, edges: Sequence[float]) -> ir.Value:
    group = ibis.ifelse(value.isnull(), ibis.null("int64"), ibis.literal(0, "int64"))
    for edge in edges:
        group = group + (value > edge).cast("int64")
    return group
