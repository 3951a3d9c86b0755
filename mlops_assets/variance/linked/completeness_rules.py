"""Rules of completeness: whether entities, units and addresses are there as they were.

Put here what is wrong with how many entities of a unit are there, or moved. Keep out whether identifiers that link are
those of the same entities (``identifier_rules``).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from mlops_assets.variance.linked import profiles
from mlops_assets.variance.linked.findings import (
    AGREEING,
    ASK_FOR_IDENTIFIERS,
    HARDLY,
    LEAST,
    LOST,
    LOST_OF_HISTORY,
    MOST_UNITS,
    MOVED,
    MOVED_OF_HISTORY,
    PARTIAL_LOAD,
    READDRESSED,
    REKEYED,
    UNLINKED,
    Finding,
)
from mlops_assets.variance.linked.snapshots import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlops_assets.variance.linked.findings import Words
    from mlops_assets.variance.linked.kinds import Linked
    from mlops_assets.variance.linked.rates import Counts, Rates

_LOAD_WHOLE: Final = "Load it again, whole."
_FEW: Final = 5


@dataclass(frozen=True, kw_only=True)
class Case:
    """What every rule looks at.

    Attributes:
        linked: both snapshots.
        rates: of them.
        history: rates of all entities in earlier pairs; empty where those are too few to tell what is ordinary.
        words: what the caller calls things.
    """

    linked: Linked
    rates: Rates
    history: Sequence[Counts]
    words: Words


def losses(case: Case) -> list[Finding]:
    """Units that lost most of their entities: re-keyed, loaded in part, or exchanged."""
    least = _beyond(LOST, LOST_OF_HISTORY, [pair.lost_rate for pair in case.history])
    judged = {ALL: case.rates.all, **case.rates.units}
    lost = {unit: own for unit, own in judged.items() if own.lost >= LEAST and own.lost_rate >= least}
    if not lost:
        return []
    there = _there_otherwise(case, [unit for unit in lost if unit != ALL], everybody=ALL in lost)
    rekeyed = {unit: own for unit, own in lost.items() if there.get(unit, 0.0) >= AGREEING * own.lost}
    others = {unit: own for unit, own in lost.items() if unit not in rekeyed}
    partial = {unit: own for unit, own in others.items() if own.shrunk_by >= least}
    gone = {unit: own for unit, own in others.items() if unit not in partial and own.lost_rate >= 1 - HARDLY}
    absent = f"are not in {case.words.later}"
    elsewhere = f"{absent}, but other identifiers agree with them in every other column"
    return [
        *_told(case, REKEYED, rekeyed, elsewhere, ASK_FOR_IDENTIFIERS),
        *_told(case, PARTIAL_LOAD, partial, f"{absent}, and nobody came in their place", _LOAD_WHOLE),
        *_told(
            case,
            UNLINKED,
            gone,
            f"{absent}, and others are in their place",
            f"Look whether the {case.words.unit} is the same one.",
        ),
    ]


def _there_otherwise(case: Case, units: Sequence[str], *, everybody: bool) -> Mapping[str, float]:
    """By unit, and for all if asked for, how many lost entities are there under other identifiers."""
    # Of one unit an address alone proves nothing: its homes may have been let to others.
    if not everybody and case.linked.layout.addressed and not case.linked.layout.attributes:
        return {}
    agreeing = profiles.agreement(case.linked, None if everybody else units)
    if not agreeing.beyond_chance >= AGREEING:
        return {}
    own = profiles.lost_there_by_unit(case.linked, units)
    return {**own, ALL: agreeing.lost_there} if everybody else own


def gains(case: Case) -> list[Finding]:
    """Whether all units gained most of their entities at once: the earlier snapshot was loaded in part."""
    least = _beyond(LOST, LOST_OF_HISTORY, [pair.joined_rate for pair in case.history])
    known = [own for own in case.rates.units.values() if own.before]
    after, joined = sum(own.after for own in known), sum(own.joined for own in known)
    filled = [own.joined_rate >= least and own.shrunk_by < 0 for own in known if own.after >= LEAST]
    if joined < max(LEAST, least * after) or not filled or not all(filled):
        return []
    words = case.words
    return [
        Finding(
            name=PARTIAL_LOAD,
            units=(ALL,),
            figures={"joined_rate": joined / after, "joined": float(joined), "after": float(after)},
            sentence=f"{joined:,} of {after:,} {words.entities} of {words.later} are not in {words.earlier}, in "
            f"every {words.unit} at once: {words.earlier} was not loaded whole.",
            remedy=_LOAD_WHOLE,
        )
    ]


def moves(case: Case) -> list[Finding]:
    """Units in which nearly all have another address."""
    if not case.linked.layout.addressed:
        return []
    least = _beyond(MOVED, MOVED_OF_HISTORY, [pair.moved_rate for pair in case.history])
    judged = {ALL: case.rates.all, **case.rates.units}
    moved = {unit: own for unit, own in judged.items() if own.moved >= LEAST and own.moved_rate >= least}
    return _told(
        case,
        READDRESSED,
        moved,
        f"that are in {case.words.later} have another address there, at once",
        "Write addresses of both in one way, or compare without them.",
        what=("moved", "found"),
    )


def expectations(case: Case) -> list[Finding]:
    """Whether entities to be expected are there as before."""
    then, now, words = case.rates.expected_before, case.rates.expected_after, case.words
    if now is None:
        return []
    said = f"{now:.1%} of the {words.entities} to be expected are in {words.later}"
    figures = {"expected_found": now, **({} if then is None else {"expected_found_before": then})}
    if now <= HARDLY:
        sentence = f"{said}: their identifiers are others, or made with another key."
        return [Finding(name=REKEYED, units=(ALL,), figures=figures, sentence=sentence, remedy=ASK_FOR_IDENTIFIERS)]
    if then is not None and now <= then * (1 - LOST):
        sentence = f"{said}, where {then:.1%} were in {words.earlier}."
        return [Finding(name=PARTIAL_LOAD, units=(ALL,), figures=figures, sentence=sentence, remedy=_LOAD_WHOLE)]
    return []


def _told(  # the parts of a sentence
    case: Case,
    name: str,
    units: Mapping[str, Counts],
    said: str,
    remedy: str,
    *,
    what: tuple[str, str] = ("lost", "before"),
) -> list[Finding]:
    """One finding on those units; on all where the whole is concerned and not by a few of its units alone."""
    if not units:
        return []
    part, of = what
    large = {unit for unit, own in case.rates.units.items() if getattr(own, of) >= LEAST}
    listed = tuple(unit for unit in units if unit != ALL)
    most = len(large & set(listed)) >= MOST_UNITS * len(large)
    whole = large <= set(listed) or (ALL in units and (most or not listed))
    concerned = [case.rates.all] if whole else [units[unit] for unit in listed]
    entities, every = (sum(getattr(own, each) for own in concerned) for each in what)
    where = f"in every {case.words.unit}" if whole else f"of {case.words.unit} {', '.join(_few(listed))}"
    return [
        Finding(
            name=name,
            units=(ALL,) if whole else listed,
            figures={f"{part}_rate": entities / every, part: float(entities), of: float(every)},
            sentence=f"{entities:,} of {every:,} {case.words.entities} {where} {said}.",
            remedy=remedy,
        )
    ]


def _beyond(assumed: float, of_history: float, ordinary: Sequence[float]) -> float:
    """From which share on a rate is out of the ordinary: that share of those to whom it does not ordinarily happen."""
    return assumed if not ordinary else 1 - (1 - median(ordinary)) * (1 - of_history)


def _few(units: Sequence[str]) -> Iterator[str]:
    yield from units[:_FEW]
    if len(units) > _FEW:
        yield f"and {len(units) - _FEW} more"
