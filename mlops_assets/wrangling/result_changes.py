"""Changes of House results: each district's vote against four years before, with the most likely cause in words.

Put here what the words of elections add to the domain-free comparison in ``variance/aggregates``. Keep out statistics
of a single election.

The order in which causes are tried, and how well they did on real returns, is in ``docs/wrangling-elections.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.variance import aggregates

if TYPE_CHECKING:
    import ibis.expr.types as ir

SAME_KIND: Final = 4
"""Years between two elections of the same kind, presidential or midterm."""

WITNESS: Final = 2
"""Years to the election between, which tells whether a factor is a slip of one side."""

TIGHT: Final = 0.1
"""Largest distance, in natural logarithms, of a state from a factor where one comparison must suffice."""

LOOSE: Final = 0.3
"""The same for the comparison over four years where the election between agrees tightly."""

AGREEMENT: Final = 0.9
"""Least share of a state's districts that must lie nearer to the factor than to the nation."""

MOST: Final = 0.5
"""More than this share of a state's districts must have moved for a redrawn map."""

NEAR: Final = 2.0
"""Largest distance of a redrawn state's total from the nation, in robust standard deviations of districts."""

_KEYS: Final = ("state", "district")


def result_changes(house_results: ir.Table, *, election: str) -> ir.Table:
    """Compare one election with the one of the same kind before.

    Args:
        house_results: ``wrangled/house_results`` of the election, of four years before and, if known, of two years
            before; other elections are ignored.
        election: the year of the election.

    Returns:
        ``variance/result_changes``: one row per district of either election; no rows where one of the two is unknown.
    """
    previous = str(int(election) - SAME_KIND)
    between = str(int(election) - WITNESS)
    now = _votes(house_results, election)
    units = aggregates.robust_scores(
        aggregates.unit_changes(_votes(house_results, previous), now, keys=_KEYS, value="votes")
    )
    states = aggregates.set_changes(units, group="state")
    states = _beside(states, aggregates.reshuffles(units, group="state"))
    states = _beside(
        states, _factors(house_results, previous=previous, between=between, election=election, units=units)
    )
    joined = _beside(units, states)
    joined = _beside(joined, _uncontested(house_results, previous, election), keys=_KEYS)
    return _named(joined, election=election, previous=previous).filter(
        (now.count() > 0).as_scalar(), (_votes(house_results, previous).count() > 0).as_scalar()
    )


def straddles_a_redistricting_cycle(election: str) -> bool:
    """Whether the maps of a new census came into force in the four years up to the election (in years ending in 2)."""
    return int(election) % 10 in {2, 4}


def _votes(house_results: ir.Table, election: str) -> ir.Table:
    rows = house_results.filter(house_results.election == election)
    return rows.select(*_KEYS, votes=rows.total_votes)


def _beside(left: ir.Table, right: ir.Table, keys: tuple[str, ...] = ("state",)) -> ir.Table:
    return left.left_join(right, list(keys)).drop(*(f"{key}_right" for key in keys))


def _uncontested(house_results: ir.Table, previous: str, election: str) -> ir.Table:
    rows = house_results.filter(house_results.election.isin([previous, election]))
    return rows.group_by(list(_KEYS)).aggregate(
        uncontested_before=(rows.uncontested & (rows.election == previous)).any(),
        uncontested_after=(rows.uncontested & (rows.election == election)).any(),
    )


def _factors(house_results: ir.Table, *, previous: str, between: str, election: str, units: ir.Table) -> ir.Table:
    """One row per state: the factor of its change, and which side it is a slip of (NULL where it is none)."""

    def fits(earlier: str, later: str, prefix: str) -> ir.Table:
        changes = aggregates.unit_changes(
            _votes(house_results, earlier), _votes(house_results, later), keys=_KEYS, value="votes"
        )
        found = aggregates.factor_fits(aggregates.robust_scores(changes), group="state")
        return found.rename({f"{prefix}_{c}": c for c in ("factor", "residual", "agreement")}).drop(
            "units", "median_deviation"
        )

    states = _beside(aggregates.factor_fits(units, group="state"), fits(between, election, "late"))
    states = _beside(states, fits(previous, between, "early"))
    alike = states.agreement >= AGREEMENT

    def agrees(prefix: str) -> ir.BooleanColumn:
        return (
            (states.residual.abs() <= LOOSE)
            & (states[f"{prefix}_factor"] == states.factor)
            & (states[f"{prefix}_residual"].abs() <= TIGHT)
            & (states[f"{prefix}_agreement"] >= AGREEMENT)
        )

    alone = states.late_factor.isnull() & states.early_factor.isnull() & (states.residual.abs() <= TIGHT)
    slip = ibis.cases(
        (alike & agrees("late"), f"{between} confirms that {election} is off"),
        (alike & agrees("early"), f"{between} confirms that {previous} is off"),
        (alike & alone, f"{between} is not known, so either side may be off"),
    )
    return states.select("state", "units", "median_deviation", "factor", "agreement", slip=slip)


def _named(joined: ir.Table, *, election: str, previous: str) -> ir.Table:
    extreme = joined.score.notnull() & (joined.score.abs() > aggregates.EXTREME_SCORE)
    one_sided = joined.in_before != joined.in_after
    no_count = joined.before.isnull() | joined.after.isnull()
    other_number = joined.units_before != joined.units_after
    redrawn = (
        ibis.literal(straddles_a_redistricting_cycle(election))
        & (joined.measured > 1)
        & (joined.moved > MOST)
        & (joined.total_deviation.abs() <= NEAR * joined.spread)
        & ((joined.log_change - joined.center - joined.total_deviation).abs() > joined.spread)
    )
    contested_once = extreme & (joined.uncontested_before != joined.uncontested_after)
    times = _number(joined.deviation.exp()) + " times the national change"
    numbers = ibis.literal("score ") + _number(joined.score) + ", " + times
    only_in = ibis.literal("the district is there in ") + joined.in_after.ifelse(election, previous) + " only"
    seats = joined.units_before.cast("string") + " districts before, " + joined.units_after.cast("string") + " after"
    causes = (
        (one_sided, "boundary", only_in + ": " + seats),
        (
            no_count,
            "uncontested",
            ibis.literal("no count in ")
            + ibis.cases(
                (joined.before.isnull() & joined.after.isnull(), f"{previous} and {election}"),
                (joined.before.isnull(), previous),
                else_=election,
            ),
        ),
        (
            joined.slip.notnull(),
            "entry",
            ibis.literal("the state as a whole is off by a factor of ")
            + _factor(joined.factor)
            + ": median of "
            + joined.units.cast("string")
            + " districts "
            + _number(joined.median_deviation.exp())
            + " times the national change, "
            + (joined.agreement * 100).round().cast("int64").cast("string")
            + " % of them nearer to the factor than to the nation; "
            + joined.slip,
        ),
        (other_number, "boundary", ibis.literal("the state's number of districts changed: ") + seats),
        (
            redrawn,
            "boundary",
            ibis.literal("new maps followed the census, ")
            + (joined.moved * 100).round().cast("int64").cast("string")
            + " % of the state's districts moved against their state, whose total stayed at "
            + _number(joined.total_deviation.exp())
            + " times the national change",
        ),
        (
            contested_once,
            "uncontested",
            ibis.literal("only one candidate in ")
            + joined.uncontested_after.ifelse(election, previous)
            + ": "
            + numbers,
        ),
        (extreme, "unknown", numbers),
    )
    return joined.select(
        election=ibis.literal(election),
        previous_election=ibis.literal(previous),
        state=joined.state,
        district=joined.district,
        before=joined.before,
        after=joined.after,
        log_change=joined.log_change,
        national_log_change=joined.center,
        score=joined.score,
        cause=ibis.cases(*((condition, cause) for condition, cause, _ in causes), else_="none"),
        evidence=ibis.cases(*((condition, words) for condition, _, words in causes), else_=numbers).fill_null(
            "no spread between districts to compare with"
        ),
    )


def _number(value: ir.FloatingColumn) -> ir.StringColumn:
    return value.round(2).cast("string")


def _factor(factor: ir.FloatingColumn) -> ir.StringColumn:
    return factor.cases(*((each, f"{each:g}") for each in aggregates.ENTRY_FACTORS))
