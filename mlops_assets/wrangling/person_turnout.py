"""Person turnout: what was known of every registered person before an election day, and whether they then voted.

Put here features as of an election day. Keep out any fact that became known later, but for the label ``voted``.

Which snapshot is used: the latest one on or before election day; everybody on it was registered in time. For elections
before the first snapshot it is the first, of which only what does not change with time is used: birth cohort, gender
and registration year, with district and county as labels of a place. That snapshot holds only persons who are still
registered, and a registration in the election's own year may have come too late, so only persons registered in an
earlier year are kept. History is that of the three general elections before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.contracts.partitions import SNAPSHOT_MONTHS, election_day, snapshot_day
from mlops_assets.wrangling.demographics import group_of_age
from mlops_assets.wrangling.voters import COHORT_YEARS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir

VOTING_AGE: Final = 18
NEVER: Final = "NONE"
"""``party_last`` of persons who voted in none of the three elections before."""

_OLDEST: Final = 130
_PRESIDENTIAL_TERM: Final = 4


def person_turnout(voters: ir.Table, voting_history: ir.Table, *, election: str) -> ir.Table:
    """Features of persons as of one election day, and the label where the election has been held.

    Args:
        voters: rows of ``wrangled/voters`` of one state; of several snapshots the right one is chosen.
        voting_history: rows of ``wrangled/voting_history`` of that state. Elections before the last three before this
            one, and later ones, are ignored; an election without rows counts as not voted in.
        election: year of the general election.

    Returns:
        Rows of ``features/person_turnout``, one per person. ``voted`` is NULL while the election has no history.
    """
    year = int(election)
    persons = _persons(voters, election)
    last, second, third = (str(year - 2 * back) for back in (1, 2, 3))
    before = voting_history.filter(voting_history.election.isin([last, second, third]))
    voted = before.group_by("person_token").aggregate(
        last=(before.election == last).cast("int64").max(),
        second=(before.election == second).cast("int64").max(),
        third=(before.election == third).cast("int64").max(),
        party_last=before.party.argmax(before.election),
    )
    joined = persons.left_join(voted, "person_token").drop("person_token_right")
    flags = {name: joined[name].fill_null(0) for name in ("last", "second", "third")}
    known = joined.mutate(party_last=joined.party_last.fill_null(NEVER), **flags)
    placed = _with_place_turnout(known, registered_before=year - 2)
    labelled = _with_label(placed, voting_history.filter(voting_history.election == election))
    labelled = labelled.mutate(age=_age(labelled.birth_cohort, year))
    return labelled.select(
        "state",
        "person_token",
        "district",
        "county",
        "age",
        "party_last",
        "gender",
        "place_turnout",
        "voted",
        election=ibis.literal(election),
        snapshot_month=labelled.month,
        age_group=group_of_age(labelled.age),
        years_registered=ibis.greatest(year - labelled.registered_year, 0),
        presidential=ibis.literal(int(year % _PRESIDENTIAL_TERM == 0), "int64"),
        voted_last=labelled["last"],
        voted_second_last=labelled.second,
        voted_third_last=labelled.third,
    )


def snapshots_in_time(election: str) -> tuple[str, ...]:
    """The snapshot months on or before that election's day, oldest first."""
    day = election_day(election)
    return tuple(month for month in SNAPSHOT_MONTHS if snapshot_day(month) <= day)


def latest_snapshot(partition: str, snapshots: Sequence[str]) -> Sequence[str]:
    """Of the snapshots mapped to an election, the one to read: the latest.

    Args:
        partition: the election's partition key, such as ``2022|NC``.
        snapshots: partition keys of the existing snapshots mapped to it, such as ``2022-10|NC``, of one state.
    """
    del partition  # the mapping holds only snapshots in time
    return [max(snapshots)] if snapshots else []


def _persons(voters: ir.Table, election: str) -> ir.Table:
    """The persons of the right snapshot who were registered in time."""
    in_time = snapshots_in_time(election)
    if not in_time:
        first = voters.filter(voters.month == SNAPSHOT_MONTHS[0])
        return first.filter(first.registered_year < int(election))
    admissible = voters.filter(voters.month.isin(in_time))
    latest = admissible.aggregate(latest=admissible.month.max())
    return admissible.inner_join(latest, admissible.month == latest.latest).drop("latest")


def _with_place_turnout(persons: ir.Table, *, registered_before: int) -> ir.Table:
    """Add the share of the county's persons registered before that year who voted in the last election.

    A county without such persons takes the state's share; a state without them takes 0.
    """
    then = persons.filter(persons.registered_year < registered_before)
    state = then.aggregate(state_turnout=then["last"].sum().fill_null(0) / ibis.greatest(then.count(), 1))
    county = then.group_by("county").aggregate(county_turnout=then["last"].sum() / then.count())
    joined = persons.left_join(county, "county").drop("county_right").cross_join(state)
    return joined.mutate(place_turnout=joined.county_turnout.coalesce(joined.state_turnout))


def _with_label(persons: ir.Table, held: ir.Table) -> ir.Table:
    """Add ``voted``: 1 or 0 where the election's history is there, else NULL."""
    present = held.aggregate(ballots=held.count())
    who = held.select("person_token", ballot=ibis.literal(1, "int64"))
    joined = persons.left_join(who, "person_token").drop("person_token_right").cross_join(present)
    return joined.mutate(voted=(joined.ballots > 0).ifelse(joined.ballot.fill_null(0), None))


def _age(birth_cohort: ir.IntegerValue, year: int) -> ir.IntegerValue:
    """Years at the election of somebody born in the middle of the cohort, but at least the voting age.

    NULL where nobody of the cohort was of voting age, or everybody older than 130: then the birth year is wrong.
    """
    middle = year - birth_cohort - COHORT_YEARS // 2
    possible = (birth_cohort <= year - VOTING_AGE) & (middle <= _OLDEST)
    return possible.ifelse(ibis.greatest(middle, VOTING_AGE), None)
