"""Profiles: what an entity looks like in all columns but its identifier, and whether other identifiers carry it now.

Put here the counting of profiles on either side of linked snapshots. Keep out what is concluded from it (``health``).

Rows to which nothing happened settle themselves: they link, at the same address. Of all others the multisets of
profiles before and after are compared. Where everybody only got another identifier, they are the same multiset.

How much two multisets agree by chance depends on how telling profiles are: two parties agree in any two populations, a
street with a year of birth in none. So the agreement is set against what it would be if the same rows had been dealt to
both sides at random, and counted as what it has beyond that (compare Cohen's kappa, 1960).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import ibis
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import ibis.expr.types as ir
    import pyarrow as pa
    from numpy.typing import NDArray

    from mlops_assets.variance.linked.kinds import Linked

FEWEST_PROFILES: Final = 20
"""With fewer different profiles agreement beyond chance has a standard deviation above 0.17: it is not looked at."""

_SEPARATOR: Final = "\x1f"


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far entities that do not settle themselves are there under other identifiers.

    Attributes:
        lost: entities of the earlier snapshot whose identifier is not in the later one.
        lost_there: those of them whose profile another identifier carries now.
        moved: entities in both with another address.
        moved_there: those of them whose earlier profile another identifier carries now.
        beyond_chance: of all of them, from 0 (as chance would have it) to 1; NaN where profiles are too few to tell.
    """

    lost: int
    lost_there: float
    moved: int
    moved_there: float
    beyond_chance: float


@dataclass(frozen=True, kw_only=True)
class SamePlace:
    """Addresses that one entity left and one other entity took: does the new one look like the old one?

    Attributes:
        lost: such addresses whose earlier entity is in the earlier snapshot only.
        lost_alike: those of them whose new entity has the same classes.
        moved: such addresses whose earlier entity is elsewhere now.
        moved_alike: likewise.
        chance: how often two of such entities have the same classes by chance.
    """

    lost: int
    lost_alike: int
    moved: int
    moved_alike: int
    chance: float

    def beyond_chance(self, alike: int, of: int) -> float:
        """The share that is alike beyond chance; 0 where chance alone makes all alike."""
        return (alike / of - self.chance) / (1 - self.chance) if of and self.chance < 1 else 0.0


def agreement(linked: Linked, units: Collection[str] | None = None, *, by_address: bool = True) -> Agreement:
    """Compare the profiles of all who do not settle themselves.

    Args:
        linked: two snapshots.
        units: of the earlier snapshot; entities that others lost are left out. All when not given.
        by_address: whether the address belongs to a profile; else the unit does, and only who does not link is looked
            at, as where there is no address.
    """
    found = _profiles(linked, units, by_address=by_address)
    b, a = _sides(found)
    there = (ibis.least(b, a) / b.nullif(0)).fill_null(0.0)
    groups = found.group_by(before=b, after=a).agg(
        profiles=found.count(),
        lost=found.lost.sum(),
        moved=found.moved.sum(),
        lost_there=(found.lost * there).sum(),
        moved_there=(found.moved * there).sum(),
    )
    rows = linked.engine.to_pyarrow(groups)
    before, after, profiles = (_numbers(rows, name) for name in ("before", "after", "profiles"))
    lost, moved = (int(_numbers(rows, name).sum()) for name in ("lost", "moved"))
    return Agreement(
        lost=lost,
        moved=moved,
        lost_there=float(_numbers(rows, "lost_there").sum()),
        moved_there=float(_numbers(rows, "moved_there").sum()),
        beyond_chance=_beyond_chance(before, after, profiles),
    )


def lost_there_by_unit(linked: Linked, units: Collection[str]) -> Mapping[str, float]:
    """For each of those units how many of the entities it lost are there under another identifier."""
    found = _profiles(linked, units)
    b, a = _sides(found)
    known = found.filter(b > 0).select(the_place="place", the_look="look", there=ibis.least(b, a) / b)
    rows = _rows(linked, units)
    lost = rows.filter(rows.lost > 0)
    joined = lost.inner_join(known, [lost.place.identical_to(known.the_place), lost.look == known.the_look])
    counted = linked.engine.to_pyarrow(joined.group_by("unit").agg(there=joined.there.sum()))
    return dict(zip(counted["unit"].to_pylist(), counted["there"].to_pylist(), strict=True))


def same_place(linked: Linked) -> SamePlace:
    """Look at addresses that one entity left and one other took.

    Args:
        linked: two snapshots, with an address.
    """
    found = _profiles(linked, None)
    b, a = _sides(found)
    places = (
        found.filter(found.place.notnull())
        .group_by("place")
        .agg(b=b.sum(), a=a.sum(), lost=found.lost.sum(), alike=ibis.least(b, a).sum())
    )
    single = places.filter(places.b == 1, places.a == 1)
    (row,) = linked.engine.to_pyarrow(
        single.agg(
            lost=single.lost.sum().fill_null(0),
            lost_alike=single.alike.sum(where=single.lost == 1).fill_null(0),
            all=single.count(),
            all_alike=single.alike.sum().fill_null(0),
        )
    ).to_pylist()
    lost, alike = int(row["lost"]), int(row["lost_alike"])
    return SamePlace(
        lost=lost,
        lost_alike=alike,
        moved=int(row["all"]) - lost,
        moved_alike=int(row["all_alike"]) - alike,
        chance=_alike_by_chance(linked),
    )


def associations(linked: Linked) -> Mapping[str, float]:
    """For unit and every attribute how much the value before tells of that after, for entities in both.

    Returns:
        Cramér's V, 0 to 1, of columns with two values or more on either side. A recoded or renumbered column has 1,
        one in which entities were mixed at random 0.
    """
    stayers = linked.kinds.filter(linked.kinds.was & linked.kinds.now)
    columns = {"unit": ("unit_before", "unit_after")} | {
        name: (f"class_before_{name}", f"class_after_{name}") for name in linked.layout.attributes
    }
    found = {}
    for name, (before, after) in columns.items():
        flows = linked.engine.to_pyarrow(
            stayers.group_by(b=stayers[before], a=stayers[after]).agg(n=stayers.entities.sum())
        )
        sides = [np.unique(flows[side].to_numpy(zero_copy_only=False), return_inverse=True)[1] for side in "ba"]
        n = _numbers(flows, "n")
        margins = [np.bincount(side, n) for side in sides]
        if min(map(len, margins)) > 1:
            # Chi-square over rows, without the table: units may be tens of thousands.
            excess = (n * n / (margins[0][sides[0]] * margins[1][sides[1]])).sum() - 1
            found[name] = float(np.sqrt(max(excess, 0.0) / (min(map(len, margins)) - 1)))
    return found


def linked_otherwise_written(linked: Linked, before: ir.Table, after: ir.Table) -> int:
    """How many identifiers of both snapshots agree but for case, blanks, leading zeros and a trailing ``.0``."""
    sides = [
        side.select(
            plain=side[linked.layout.entity].cast("string").strip().upper().re_replace(r"^0+|\.0$", "")
        ).distinct()
        for side in (before, after)
    ]
    other = sides[1].rename(plain_after="plain")
    joined = sides[0].inner_join(other, sides[0].plain == other.plain_after)
    return int(linked.engine.to_pyarrow(joined.agg(n=joined.count()))["n"][0].as_py())


def _profiles(linked: Linked, units: Collection[str] | None, *, by_address: bool = True) -> ir.Table:
    """One row per ``place`` and ``look``: entities ``lost`` and ``moved`` away, ``joined`` and ``came``."""
    rows = _rows(linked, units, by_address=by_address)
    names = ("lost", "moved", "joined", "came")
    counted = rows.group_by("place", "look").agg(**{name: rows[name].sum() for name in names})
    return counted.mutate(**{name: counted[name].cast("int64") for name in names})


def _sides(profiles: ir.Table) -> tuple[ir.IntegerColumn, ir.IntegerColumn]:
    return profiles.lost + profiles.moved, profiles.joined + profiles.came


def _rows(linked: Linked, units: Collection[str] | None, *, by_address: bool = True) -> ir.Table:
    """Once for each snapshot it is in every entity that does not settle itself: what it is, where, and its look.

    Without an address the unit belongs to the look: classes alone tell little.
    """
    pairs, layout = linked.pairs, linked.layout
    addressed = layout.addressed and by_address
    open_ = pairs.filter(~pairs.unmoved) if addressed else pairs.filter(~(pairs.was & pairs.now))
    sides = []
    for when, there, other in (("before", open_.was, open_.now), ("after", open_.now, open_.was)):
        classes = [open_[f"class_{when}_{name}"] for name in layout.attributes]
        unit = open_[f"unit_{when}"]
        look = [ibis.literal(""), *classes] if addressed else [unit, *classes]
        earlier = ibis.literal(when == "before")
        alone, both = (~other).cast("int64"), other.cast("int64")
        sides.append(
            open_.filter(there).select(
                unit=unit,
                place=open_[f"address_{when}"] if addressed else ibis.null("string"),
                look=ibis.literal(_SEPARATOR).join(look),
                lost=ibis.ifelse(earlier, alone, 0),
                moved=ibis.ifelse(earlier, both, 0),
                joined=ibis.ifelse(earlier, 0, alone),
                came=ibis.ifelse(earlier, 0, both),
            )
        )
    rows = ibis.union(*sides)
    if units is None:
        return rows
    return rows.filter((rows.joined + rows.came > 0) | ((rows.lost > 0) & rows.unit.isin(sorted(units))))


def _alike_by_chance(linked: Linked) -> float:
    """How often one who left an address and one who came to another have the same classes."""
    kinds = linked.kinds
    shares: list[dict[tuple[Any, ...], float]] = []
    for when, there in (("before", kinds.was), ("after", kinds.now)):
        classes = [f"class_{when}_{name}" for name in linked.layout.attributes]
        rows = kinds.filter(there & ~kinds.unmoved)
        counted = rows.group_by(classes).agg(n=rows.entities.sum()) if classes else rows.agg(n=rows.entities.sum())
        found = linked.engine.to_pyarrow(counted).to_pylist()
        whole = sum(row["n"] or 0 for row in found) or 1
        shares.append({tuple(row[name] for name in classes): (row["n"] or 0) / whole for row in found})
    return sum(share * shares[1].get(classes, 0.0) for classes, share in shares[0].items())


def _beyond_chance(before: NDArray[Any], after: NDArray[Any], profiles: NDArray[Any]) -> float:
    """Agreement of two multisets beyond that of the same rows dealt to both sides at random.

    Args:
        before: how many rows of the earlier side have a profile.
        after: how many of the later side.
        profiles: how many profiles are so.
    """
    # A third of a second for every run that loads a code location and compares nothing.
    from scipy import stats  # type: ignore[import-untyped]  # noqa: PLC0415  SciPy ships no types

    rows = [float((side * profiles).sum()) for side in (before, after)]
    if profiles.sum() < FEWEST_PROFILES or not min(rows):
        return float("nan")
    share, both = rows[0] / sum(rows), before + after
    half = both // 2
    # The mean of the smaller part of n rows of which each is dealt to the first side with that share.
    dealt = both * (
        share * stats.binom.cdf(half - 1, both - 1, share) + (1 - share) * stats.binom.sf(half, both - 1, share)
    )
    expected = float((dealt * profiles).sum())
    agreeing = float((np.minimum(before, after) * profiles).sum())
    room = min(rows) - expected
    return (agreeing - expected) / room if room > 0 else float("nan")


def _numbers(table: pa.Table, name: str) -> NDArray[Any]:
    return np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=np.float64)
