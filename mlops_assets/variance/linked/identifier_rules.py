"""Rules of identifiers: whether what links is the same entity, and whether what does not has another identifier now.

Put here what the other columns say of identifiers. Keep out how many entities of a unit are there
(``completeness_rules``).
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from mlops_assets.variance.linked import profiles
from mlops_assets.variance.linked.findings import (
    AGREEING,
    ASK_FOR_IDENTIFIERS,
    ASSOCIATED,
    HARDLY,
    LEAST,
    MOVED_OF_HISTORY,
    PARTLY,
    REISSUED,
    REKEYED,
    UNLINKED,
    Finding,
)
from mlops_assets.variance.linked.snapshots import ALL

if TYPE_CHECKING:
    from collections.abc import Collection

    import ibis.expr.types as ir

    from mlops_assets.variance.linked.completeness_rules import Case

_PARTS: Final = (
    (REKEYED, "lost", "are gone, and another identifier is at their address"),
    (REISSUED, "moved", "have another address, and another identifier is at their old one"),
)


def links(case: Case, before: ir.Table, after: ir.Table) -> list[Finding]:
    """Whether entities link at all, and to themselves; what is found here makes any other rule moot."""
    ordinary = median(pair.link_rate for pair in case.history) if case.history else 1.0
    if min(case.rates.all.before, case.rates.all.after) < LEAST:
        return []
    if case.rates.all.link_rate <= HARDLY * ordinary:
        return [_without_link(case, before, after)]
    return _to_others(case) if case.rates.all.found >= LEAST else []


def _without_link(case: Case, before: ir.Table, after: ir.Table) -> Finding:
    """Hardly any entity links: why that is."""
    everything, words = case.rates.all, case.words
    agreeing, column = profiles.agreement(case.linked), "column"
    if case.linked.layout.addressed and not agreeing.beyond_chance >= AGREEING:
        # Addresses may be tokens made with the same key as the identifiers.
        agreeing, column = profiles.agreement(case.linked, by_address=False), "column but the address"
    otherwise = profiles.linked_otherwise_written(case.linked, before, after)
    rewritten = otherwise > everything.found and otherwise >= AGREEING * min(everything.before, everything.after)
    name, remedy = REKEYED, ASK_FOR_IDENTIFIERS
    if rewritten:
        but = f"but {otherwise:,} identifiers are the same but for case, blanks, leading zeros or .0"
        remedy = "Write identifiers of both in one way."
    elif agreeing.beyond_chance >= AGREEING:
        but = f"but {agreeing.lost_there:,.0f} agree with one there in every other {column}"
    else:
        name, but = UNLINKED, "and the other columns do not say that they are there under other identifiers"
        remedy = f"Name another column of the identifier, or two snapshots of the same {words.entities}."
    return Finding(
        name=name,
        units=(ALL,),
        figures={
            "link_rate": everything.link_rate,
            "agreeing_otherwise": agreeing.lost_there,
            "agreeing_beyond_chance": agreeing.beyond_chance,
            "linked_otherwise_written": float(otherwise),
        },
        sentence=f"{everything.found:,} of {everything.before:,} {words.entities} of {words.earlier} are among the "
        f"{everything.after:,} of {words.later}, {but}.",
        remedy=remedy,
    )


def _to_others(case: Case) -> list[Finding]:
    """Whether most identifiers that link stand for other entities now."""
    everything, words, addressed = case.rates.all, case.words, case.linked.layout.addressed
    if addressed and everything.moved_rate < MOVED_OF_HISTORY:
        return []
    same = profiles.associations(case.linked)
    seen = []
    if addressed:
        agreeing = profiles.agreement(case.linked)
        if agreeing.beyond_chance >= AGREEING and agreeing.moved_there >= AGREEING * agreeing.moved:
            seen.append(
                f"{agreeing.moved:,} of {everything.found:,} that link have another address, and "
                f"{agreeing.moved_there:,.0f} of their profiles are at other identifiers now"
            )
    if same and max(same.values()) <= ASSOCIATED:
        seen.append(f"no column before tells what it is after (Cramér's V at most {max(same.values()):.2f})")
    if not seen:
        return []
    return [
        Finding(
            name=REISSUED,
            units=(ALL,),
            figures={
                "link_rate": everything.link_rate,
                "moved_rate": everything.moved_rate,
                **{f"association_{name}": value for name, value in same.items()},
            },
            sentence=f"Identifiers of {words.later} stand for other {words.entities} than in {words.earlier}: "
            f"{'; '.join(seen)}.",
            remedy=ASK_FOR_IDENTIFIERS,
        )
    ]


def parts(case: Case, named: Collection[str]) -> list[Finding]:
    """Whether a part of the identifiers was reissued: homes that changed hands show the same people.

    Args:
        case: with addresses and classes, or nothing is found.
        named: what was found already: where units are re-keyed, or not there, nothing is said of single entities.
    """
    everything, words, layout = case.rates.all, case.words, case.linked.layout
    least = max(LEAST, PARTLY * everything.before)
    if named or not (layout.addressed and layout.attributes) or everything.lost + everything.moved < least:
        return []
    agreeing = profiles.agreement(case.linked)
    if max(agreeing.lost_there, agreeing.moved_there) < least:
        return []
    places = profiles.same_place(case.linked)
    found = []
    for name, what, said in _PARTS:
        there = getattr(agreeing, f"{what}_there")
        of, alike = getattr(places, what), getattr(places, f"{what}_alike")
        if there >= least and alike >= LEAST and places.beyond_chance(alike, of) >= AGREEING:
            seen = f"{there:,.0f} of {everything.before:,} {words.entities} of {words.earlier} {said}"
            found.append(
                Finding(
                    name=name,
                    units=(ALL,),
                    figures={"agreeing": there, "same_place": of, "alike": alike, "alike_by_chance": places.chance},
                    sentence=f"{seen} that agrees in every other column; chance explains {places.chance:.0%} of such.",
                    remedy=ASK_FOR_IDENTIFIERS,
                )
            )
    return found
