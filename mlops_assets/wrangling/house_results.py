"""US House results: one row per district of a general election, mended from the returns of any edition.

Put here how candidate lines of the source become district results. Keep out comparisons between elections.

The choices, with their numbers in the real editions, are described in ``docs/wrangling-elections.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.contracts import codes

if TYPE_CHECKING:
    import ibis.expr.types as ir

VOTING_STATES: Final = tuple(state for state in codes.FIPS_BY_STATE if state != "DC")
"""States with voting members; the delegates of DC and the territories are left out (only the 2020 edition has DC)."""

DEMOCRATIC_LABELS: Final = (
    "DEM",
    "DEMOCRAT",
    "DEMOCRATIC",
    "DEMOCRATIC FARM LABOR",
    "DEMOCRATIC FARMER LABOR",
    "DEMOCRATIC NONPARTISAN LEAGUE",
    "DEMOCRATIC NPL",
    "DFL",
    "WRITE IN (DEMOCRATIC)",
)
"""Spellings of the Democratic Party and its Minnesota and North Dakota affiliates, hyphens read as blanks."""

REPUBLICAN_LABELS: Final = ("GOP", "INDEPENDENT REPUBLICAN", "REP", "REPUBLICAN", "WRITE IN (REPUBLICAN)")
"""Spellings of the Republican Party; Minnesota's was Independent-Republican from 1975 to 1995."""

_NOT_A_NAME: Final = (
    r"^(NA|N/A|WRITE[- ]?INS?|SCATTER(ING|ED)?|(ALL )?OTHERS?|(BLANK|VOID|OVER|UNDER)[- ]?VOTES?|BLANKS?|VOID"
    r"|NONE OF (THE|THESE)( .*)?)?( ?/.*)?$"
)
"""What stands in the candidate column for votes of nobody in particular."""

_COUNT: Final = r"^-?[0-9]+(\.[0-9]+)?$"
_SMALLEST_COUNT: Final = 2
"""Seats without a count are coded 1, 0.5, 0 or -1."""

_TOKEN_WIDTH: Final = 16

_DISTRICT: Final = ("election", "state", "district")
_ROUND: Final = (*_DISTRICT, "round")


def house_results(house_returns: ir.Table) -> ir.Table:
    """Sum candidate lines to one row per district.

    Args:
        house_returns: ``raw/house_returns``, one row per candidate and party line, of one or more elections.

    Returns:
        ``wrangled/house_results``: one row per election, state and district. Votes are NULL where the source has no
        count. A fusion candidate's minor lines count for the major party that also nominated the candidate.
    """
    lines = _lines(house_returns)
    rounds = _rounds(lines).left_join(_candidates(lines), list(_ROUND)).drop(*(f"{key}_right" for key in _ROUND))
    chosen = _chosen(rounds, _disguised_runoffs(lines))
    return _described(chosen)


def _text(column: ir.StringColumn) -> ir.StringColumn:
    return column.fill_null("").strip().upper()


def _count(column: ir.StringColumn) -> ir.FloatingColumn:
    text = column.fill_null("").strip().replace(",", "")
    return ibis.cases((text.re_search(_COUNT), text)).cast("float64")


def _lines(house_returns: ir.Table) -> ir.Table:
    """One row per candidate line: keys, round, cleaned name, party class, votes and the stated total."""
    t = house_returns
    runoff, special = _text(t.runoff) == "TRUE", _text(t.special) == "TRUE"
    primary = _text(t.stage) == "PRI"
    party = _text(t.party).replace("-", " ")
    return t.filter(t.state_po.isin(VOTING_STATES)).select(
        election=t.election,
        state=t.state_po,
        district=t.district.cast("int64").cast("string").lpad(2, "0"),
        round=ibis.cases(
            (runoff, "RUNOFF"),
            (special & primary, "SPECIAL PRI"),
            (special, "SPECIAL"),
            (primary, "PRI"),
            else_="GEN",
        ),
        candidate=_text(t.candidate),
        named=~_text(t.candidate).re_search(_NOT_A_NAME),
        party=ibis.cases(
            (party.isin(DEMOCRATIC_LABELS), "DEMOCRATIC"), (party.isin(REPUBLICAN_LABELS), "REPUBLICAN"), else_="OTHER"
        ),
        votes=_count(t.candidatevotes).fill_null(0.0),
        total=_count(t.totalvotes),
        stated=t.totalvotes.strip(),
    )


def _rounds(lines: ir.Table) -> ir.Table:
    """One row per district and round: the stated totals and the sum of the lines."""
    return lines.group_by(list(_ROUND)).aggregate(
        total=lines.total.max(),
        totals=lines.total.nunique(),
        stated=lines.stated.max(),
        counted=lines.votes.sum(),
    )


def _candidates(lines: ir.Table) -> ir.Table:
    """One row per district and round: the winner, votes of the two large parties, and how many candidates ran."""
    named = lines.filter(lines.named)
    by_name = named.group_by([*_ROUND, "candidate"]).aggregate(
        democratic=named.votes.sum(where=named.party == "DEMOCRATIC").fill_null(0.0),
        republican=named.votes.sum(where=named.party == "REPUBLICAN").fill_null(0.0),
        other=named.votes.sum(where=named.party == "OTHER").fill_null(0.0),
        is_democratic=(named.party == "DEMOCRATIC").any(),
        is_republican=(named.party == "REPUBLICAN").any(),
    )
    # A candidate of both parties keeps each party's own lines there; minor lines follow the stronger one.
    for_democrats = by_name.is_democratic & (~by_name.is_republican | (by_name.democratic >= by_name.republican))
    for_republicans = by_name.is_republican & ~for_democrats
    by_name = by_name.mutate(votes=by_name.democratic + by_name.republican + by_name.other)
    by_name = by_name.mutate(most=by_name.votes.max().over(ibis.window(group_by=list(_ROUND))))
    # Of candidates with equal votes always the same one.
    winner = by_name.candidate.max(where=by_name.votes == by_name.most)
    return by_name.group_by(list(_ROUND)).aggregate(
        winner=winner,
        democratic=(by_name.democratic + for_democrats.ifelse(by_name.other, 0.0)).sum(),
        republican=(by_name.republican + for_republicans.ifelse(by_name.other, 0.0)).sum(),
        candidates=by_name.count(),
    )


def _disguised_runoffs(lines: ir.Table) -> ir.Table:
    """Districts whose rows marked general are the later runoff of a November special (Texas 23 in 2006).

    Every candidate of the general rows also ran in the special, more candidates ran there, and it drew more votes.
    """
    named = lines.filter(lines.named)
    per_name = named.group_by([*_DISTRICT, "candidate"]).aggregate(
        in_general=(named.round == "GEN").any(),
        in_special=named.round.startswith("SPECIAL").any(),
        general_votes=named.votes.sum(where=named.round == "GEN").fill_null(0.0),
        special_votes=named.votes.sum(where=named.round.startswith("SPECIAL")).fill_null(0.0),
    )
    districts = per_name.group_by(list(_DISTRICT)).aggregate(
        general=per_name.in_general.sum(),
        special=per_name.in_special.sum(),
        both=(per_name.in_general & per_name.in_special).sum(),
        fewer_votes=per_name.general_votes.sum() < per_name.special_votes.sum(),
    )
    return districts.filter(
        (districts.general > 0)
        & (districts.both == districts.general)
        & (districts.special > districts.general)
        & districts.fewer_votes
    ).select(*_DISTRICT, disguised=True)


def _chosen(rounds: ir.Table, disguised_runoffs: ir.Table) -> ir.Table:
    """The round that decided each district in November, with the stated total of its runoff, if any."""
    joined = rounds.left_join(disguised_runoffs, list(_DISTRICT)).drop(*(f"{key}_right" for key in _DISTRICT))
    joined = joined.mutate(disguised=joined.disguised.notnull())
    ranked = joined.mutate(
        rank=ibis.cases(
            ((joined["round"] == "GEN") & ~joined.disguised, 0),
            (joined["round"] == "PRI", 1),
            (joined["round"] == "SPECIAL", 2),
            (joined["round"] == "SPECIAL PRI", 3),
            else_=4,
        )
    )
    district = ibis.window(group_by=list(_DISTRICT))
    placed = ranked.mutate(
        best=ranked["rank"].min().over(district),
        runoff_total=ranked.counted.sum(where=ranked["round"] == "RUNOFF").over(district),
    )
    return placed.filter(placed["rank"] == placed.best)


def _described(chosen: ir.Table) -> ir.Table:
    """Mend the totals and say in words what was mended."""
    has_count = chosen.total.notnull() & (chosen.total >= _SMALLEST_COUNT)
    has_runoff = chosen.runoff_total.notnull()
    counts_runoff = has_count & has_runoff & (chosen.total == chosen.counted + chosen.runoff_total)
    disagrees = has_count & ~counts_runoff & (chosen.total != chosen.counted)
    total = counts_runoff.ifelse(chosen.counted, chosen.total)
    note = _note(
        (~has_count, ibis.literal("no count: the stated total is ") + chosen.stated),
        (
            counts_runoff,
            ibis.literal("the stated total ")
            + _whole(chosen.total)
            + " counts the runoff too: mended to "
            + _whole(chosen.counted),
        ),
        (
            disagrees,
            ibis.literal("the stated total ")
            + _whole(chosen.total)
            + " is not the sum of the candidates, "
            + _whole(chosen.counted),
        ),
        (has_count & (chosen.totals > 1), ibis.literal("several totals are stated: the largest is used")),
        (
            chosen["round"].startswith("SPECIAL"),
            ibis.literal("no regular general election: the November special is used"),
        ),
        (chosen["round"] == "PRI", ibis.literal("no regular general election: the open primary is used")),
        (
            chosen.disguised & chosen["round"].startswith("SPECIAL"),
            ibis.literal("the rows marked general are its later runoff"),
        ),
        (
            has_runoff & (chosen["round"] != "RUNOFF"),
            ibis.literal("a later runoff is left out"),
        ),
        (chosen["round"] == "RUNOFF", ibis.literal("only the runoff is known")),
    )
    return chosen.select(
        *_DISTRICT,
        total_votes=has_count.ifelse(total, None).round().cast("int64"),
        democratic_votes=has_count.ifelse(chosen.democratic.fill_null(0.0), None).round().cast("int64"),
        republican_votes=has_count.ifelse(chosen.republican.fill_null(0.0), None).round().cast("int64"),
        winner_token=chosen.winner.re_replace("[^A-Z]+", " ").strip().hexdigest("sha256").left(_TOKEN_WIDTH),
        candidates=chosen.candidates.fill_null(0).cast("int64"),
        uncontested=chosen.candidates.fill_null(0) <= 1,
        stage=ibis.cases(
            (chosen["round"] == "SPECIAL", "SPECIAL"), (chosen["round"].contains("PRI"), "PRI"), else_="GEN"
        ),
        note=note,
    )


def _whole(votes: ir.FloatingColumn) -> ir.StringColumn:
    return votes.round().cast("int64").cast("string")


def _note(*parts: tuple[ir.BooleanColumn, ir.StringValue]) -> ir.StringColumn:
    joined = ibis.literal("")
    for condition, words in parts:
        joined = joined + condition.ifelse(words + "; ", "")
    return joined.re_replace("; $", "")
