"""Features of districts before an election day: votes of earlier elections and the latest census profile of the map.

Put here what was known of a district before the election of a partition. Keep out that election itself, anything later,
and the mending of the sources.

How a profile's map is matched with an election's is described in ``docs/wrangling-elections.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.contracts import codes
from mlops_assets.contracts.partitions import PROFILE_YEARS_BACK, congress_elected_in, first_election_of_the_maps_of

if TYPE_CHECKING:
    import ibis.expr.types as ir

LAGS: Final = {"last": 2, "second_last": 4, "third_last": 6}
"""Years before the election of each vote feature."""

_KEYS: Final = ("state", "district")
_MEASURES: Final = ("population", "population_18_and_over", "population_65_and_over")


def district_election(house_results: ir.Table, district_profiles: ir.Table, *, election: str) -> ir.Table:
    """Gather what was known of each district before one election.

    Args:
        house_results: ``wrangled/house_results``; the elections of two, four and six years before are used.
        district_profiles: ``wrangled/district_profiles``; years strictly before the election's are used.
        election: the year of the election.

    Returns:
        ``features/district_election``: one row per district of the latest of those elections that is known; no rows
        where none is. Votes of an election that is not known, or in which the district did not exist, are NULL.
    """
    results = house_results.filter(house_results.election.isin([_before(election, lag) for lag in LAGS.values()]))
    latest = results.aggregate(latest=results.election.max())
    rows = results.join(latest, [("election", "latest")]).select(*_KEYS)
    for name, lag in LAGS.items():
        then = results.filter(results.election == _before(election, lag))
        rows = _beside(
            rows,
            then.select(
                *_KEYS,
                **{
                    f"votes_{name}": then.total_votes.cast("float64"),
                    f"uncontested_{name}": then.uncontested.cast("int64"),
                    f"share_{name}": _democratic_share(then),
                    f"unopposed_{name}": _unopposed(then),
                },
            ),
        )
        by_state = then.group_by("state").aggregate(**{f"state_votes_{name}": then.total_votes.cast("float64").mean()})
        rows = _beside(rows, by_state, keys=("state",))
    rows = _with_wider_shares(rows, results.filter(results.election == _before(election, LAGS["last"])))
    rows = _beside(rows, _profiles(district_profiles, election=election))
    return rows.select(
        *_KEYS,
        "votes_last",
        "votes_second_last",
        "votes_third_last",
        "state_votes_last",
        "state_votes_second_last",
        "share_last",
        "share_second_last",
        "share_third_last",
        "state_share_last",
        "nation_share_last",
        "profile_year",
        "population",
        "population_18_and_over",
        election=ibis.literal(election),
        presidential=ibis.literal(int(int(election) % 4 == 0)).cast("int64"),
        uncontested_last=rows.uncontested_last.fill_null(0),
        unopposed_last=rows.unopposed_last.fill_null(0),
        president_democratic=ibis.literal(int(election in codes.DEMOCRATIC_PRESIDENT_AT)).cast("int64"),
        share_65_and_over=rows.population_65_and_over / rows.population.nullif(0.0),
    )


def _before(election: str, years: int) -> str:
    return str(int(election) - years)


def _democratic_share(results: ir.Table) -> ir.FloatingColumn:
    """The Democratic share of the votes for the two large parties; NULL where not both had votes."""
    democratic, republican = results.democratic_votes.cast("float64"), results.republican_votes.cast("float64")
    contested = (democratic > 0) & (republican > 0)
    return contested.ifelse(democratic / (democratic + republican), None)


def _unopposed(results: ir.Table) -> ir.IntegerColumn:
    """1 where of the two large parties only the Democratic had votes, -1 where only the Republican, else 0."""
    democratic, republican = results.democratic_votes > 0, results.republican_votes > 0
    return ibis.cases((democratic & ~republican, 1), (republican & ~democratic, -1), else_=0).cast("int64")


def _with_wider_shares(rows: ir.Table, last: ir.Table) -> ir.Table:
    """The share of state and nation at the last election, of the seats for which both large parties ran."""
    contested = last.filter((last.democratic_votes > 0) & (last.republican_votes > 0))
    democratic = contested.democratic_votes.cast("float64").sum()
    share = democratic / (democratic + contested.republican_votes.cast("float64").sum())
    rows = _beside(rows, contested.group_by("state").aggregate(state_share_last=share), keys=("state",))
    return rows.cross_join(contested.aggregate(nation_share_last=share))


def _beside(left: ir.Table, right: ir.Table, keys: tuple[str, ...] = _KEYS) -> ir.Table:
    return left.left_join(right, list(keys)).drop(*(f"{key}_right" for key in keys))


def _profiles(district_profiles: ir.Table, *, election: str) -> ir.Table:
    """The latest profile of each district on the election's maps; the census before the survey of the same year."""
    t = district_profiles
    year = t.year.cast("int64")
    first_map = first_election_of_the_maps_of(election)
    on_the_same_maps = ibis.cases(
        (
            t.congress.notnull(),
            t.congress.between(congress_elected_in(first_map), congress_elected_in(election)),
        ),
        else_=year >= int(first_map),
    )
    usable = t.filter(
        year < int(election), year >= int(election) - PROFILE_YEARS_BACK, on_the_same_maps, t.measure.isin(_MEASURES)
    )
    wide = usable.group_by([*_KEYS, "year", "dataset"]).aggregate(
        **{measure: usable.value.max(where=usable.measure == measure) for measure in _MEASURES}
    )
    place = ibis.row_number().over(ibis.window(group_by=list(_KEYS), order_by=[wide.year.desc(), wide.dataset.desc()]))
    ranked = wide.mutate(place=place)
    return ranked.filter(ranked.place == 0).select(*_KEYS, *_MEASURES, profile_year=ranked.year)
