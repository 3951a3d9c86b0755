"""What is compared: voter files person by person, and three tables of aggregates that link nobody.

Put here the declarations, and what of a table's rows is compared. Keep out how comparisons are made (``comparisons``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlops_assets.contracts import wrangled
from mlops_assets.contracts.features import SMALLEST_CELL
from mlops_assets.contracts.wrangled import PROFILE_MEASURES
from mlops_assets.wrangling.comparisons.declaration import Compare

if TYPE_CHECKING:
    import ibis.expr.types as ir

SURVEY: Final = "acs1"
"""Of a census and a survey of the same year the survey is compared, because it is there in every year."""

PARTIES: Final = ("DEMOCRATIC", "REPUBLICAN", "UNAFFILIATED", "LIBERTARIAN", "GREEN", "OTHER")
"""Classes compared. An inactive voter is one in every party, so that class has no place beside the others."""

ELECTIONS_COMPARED: Final = 12
"""How many elections after its own a result is still part of what is ordinary: a generation of maps and incumbents."""

FEWEST_TIMES: Final = 3
"""With fewer times what is ordinary has to be assumed, and volatile measures such as votes look redrawn everywhere."""

FEWEST_PROFILES: Final = 2
"""Measures of people are steady enough to be compared from one time to the next."""


DRIFTING: Final = (
    "district", "county", "status", "race", "ethnicity", "gender", "party", "birth_cohort", "registered_year",
    "race_code", "ethnic_code", "gender_code", "party_code", "copies",
)  # fmt: skip
"""Columns of voters whose distribution is compared: all but what is the same in every row, and pseudonyms."""


def results(house_results: ir.Table) -> ir.Table:
    """Votes of both parties and their share, by district and election."""
    votes = house_results.democratic_votes + house_results.republican_votes
    return house_results.select(
        "state",
        "district",
        "election",
        "democratic_votes",
        "republican_votes",
        "total_votes",
        "winner_token",
        share=house_results.democratic_votes / votes.nullif(0),
    )


def profiles(district_profiles: ir.Table) -> ir.Table:
    """One row per district and year, with a column for each measure."""
    t = district_profiles
    with_survey = t.filter(t.dataset == SURVEY).select(surveyed=t.year).distinct()
    chosen = t.left_join(with_survey, t.year == with_survey.surveyed)
    chosen = chosen.filter((chosen.dataset == SURVEY) | chosen.surveyed.isnull())
    return chosen.group_by("state", "district", "year").agg(
        **{measure: chosen.value.max(where=chosen.measure == measure) for measure in PROFILE_MEASURES}
    )


def registrations(county_registrations: ir.Table) -> ir.Table:
    """One row per county and month, with a column for each party."""
    t = county_registrations
    return t.group_by("state", "county", "month").agg(
        **{party: t.registered.sum(where=t.party == party) for party in PARTIES}
    )


VOTERS: Final = Compare(
    table=wrangled.VOTERS,
    name="voter",
    time="month",
    entity="person_token",
    unit="district",
    address=["address_token"],
    attributes={
        "race": "race_code",
        "ethnicity": "ethnic_code",
        "gender": "gender_code",
        "party": "party_code",
        "status": None,
    },
    copies="copies",
    smallest=SMALLEST_CELL,
    back=1,
    called="voter",
    drift=list(DRIFTING),
    title="What changed in the voter file",
)
RESULTS: Final = Compare(
    table=wrangled.HOUSE_RESULTS,
    name="result",
    unit="district",
    group="state",
    measures=["share", "democratic_votes", "republican_votes", "total_votes"],
    occupant="winner_token",
    prepare=results,
    fewest=FEWEST_TIMES,
    history=ELECTIONS_COMPARED,
    reports=False,
)
PROFILES: Final = Compare(
    table=wrangled.DISTRICT_PROFILES,
    name="profile",
    unit="district",
    group="state",
    measures=list(PROFILE_MEASURES),
    prepare=profiles,
    fewest=FEWEST_PROFILES,
    history=ELECTIONS_COMPARED,
    reports=False,
)
REGISTRATIONS: Final = Compare(
    table=wrangled.COUNTY_REGISTRATIONS,
    name="registration",
    unit="county",
    group="state",
    measures=list(PARTIES),
    prepare=registrations,
    fewest=FEWEST_TIMES,
    history=12 * ELECTIONS_COMPARED,
    reports=False,
)
