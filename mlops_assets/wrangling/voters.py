"""Voters: the registered persons of one snapshot, once each, in plain classes and without personal values.

Put here how rows of a raw voter file become rows of ``wrangled/voters``. Keep out counts by district, and how tokens
are made.

Who is kept: rows whose status is active, inactive or temporary (military and overseas), and rows with a status nobody
explains, as ``UNRECOGNISED``, so that a recoded status empties no table. Removed and denied rows are not registered and
are left out, and so are rows without a readable district, which no district's figures could hold.

Several kept rows of one person become one, and ``copies`` says how many there were. Which one stays depends on what the
rows hold, never on their order in the file: the better status first (active, inactive, temporary, unexplained), then
the latest registration day, then the alphabetically first of the remaining values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.contracts import codes
from mlops_assets.platform.errors import SourceError
from mlops_assets.wrangling import classes
from mlops_assets.wrangling.addresses import address_text, has_street
from mlops_assets.wrangling.pseudonyms import pads, person_text, token

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir

COHORT_YEARS: Final = 5
"""Birth years that share one cohort."""

NOT_REGISTERED: Final = ("DENIED", "REMOVED")
"""Status classes of rows that are no registration."""

LEFT_OUT_AT_MOST: Final = 0.01
"""Share of registered rows that may lack a readable district before the snapshot counts as unreadable."""

_TIE_BREAKERS: Final = (
    "district",
    "county",
    "address",
    "birth_cohort",
    "race_code",
    "ethnic_code",
    "gender_code",
    "party_code",
)
_STATUS_RANK: Final = {"ACTIVE": 0, "INACTIVE": 1, "TEMPORARY": 2}
_FIRST_COHORT_YEAR: Final = 1890
_LAST_BIRTH_YEAR: Final = 2014
_FIRST_REGISTRATION_YEAR: Final = 1900


def voters(voter_file: ir.Table, *, pseudonym_key: str) -> ir.Table:
    """Deduplicate, normalise, map and pseudonymise one or more snapshots.

    Args:
        voter_file: rows of ``raw/voter_file``.
        pseudonym_key: key of the tokens.

    Returns:
        Rows of ``wrangled/voters``: one per state, month and person.
    """
    row = ibis.row_number().over(
        ibis.window(
            group_by=["state", "month", "person"],
            order_by=[
                ibis._.status.cases(*_STATUS_RANK.items(), else_=len(_STATUS_RANK)),
                # Within one year the text of a day sorts like the day.
                ibis._.registered_year.desc(),
                ibis._.registered_day.desc(),
                *(ibis._[column] for column in _TIE_BREAKERS),
            ],
        )
    )
    copies = ibis._.count().over(ibis.window(group_by=["state", "month", "person"]))
    once = _registered(voter_file).mutate(row=row, copies=copies).filter(ibis._.row == 0)
    keyed = once.cross_join(pads(pseudonym_key))
    # A shared token of "no address" would mark the confidential registrations as a group.
    place = keyed.address.startswith("|").ifelse("NO ADDRESS|" + keyed.person, keyed.address)
    return keyed.select(
        "state",
        "month",
        "district",
        "county",
        "status",
        "race",
        "ethnicity",
        "gender",
        "party",
        "birth_cohort",
        "race_code",
        "ethnic_code",
        "gender_code",
        "party_code",
        "copies",
        registered_year=keyed.registered_year,
        person_token=token(keyed.person, keyed),
        address_token=token(place, keyed),
    )


def _normalised(voter_file: ir.Table, **further: ir.Value) -> ir.Table:
    """The columns that wrangling reads, normalised and still personal, and further ones; one row per raw row."""
    snapshot_year = voter_file.month.left(4).cast("int64")
    birth_year = classes.within(
        classes.birth_year(voter_file.birth_year), _FIRST_COHORT_YEAR, ibis.least(_LAST_BIRTH_YEAR, snapshot_year)
    )
    return voter_file.select(
        "state",
        "month",
        person=person_text(voter_file.state, voter_file.ncid),
        district=classes.district_number(voter_file.cong_dist_abbrv),
        county=classes.normalised(voter_file.county_desc).nullif("").fill_null(codes.UNRECOGNISED),
        status=classes.STATUS.classes(voter_file.status_cd),
        race=classes.RACE.classes(voter_file.race_code),
        ethnicity=classes.ETHNICITY.classes(voter_file.ethnic_code),
        gender=classes.GENDER.classes(voter_file.gender_code),
        party=classes.PARTY.classes(voter_file.party_cd),
        birth_cohort=birth_year - birth_year % COHORT_YEARS,
        registered_day=classes.normalised(voter_file.registr_dt),
        registered_year=classes.within(
            classes.year_of_day(voter_file.registr_dt), _FIRST_REGISTRATION_YEAR, snapshot_year
        ),
        race_code=classes.RACE.kept(voter_file.race_code),
        ethnic_code=classes.ETHNICITY.kept(voter_file.ethnic_code),
        gender_code=classes.GENDER.kept(voter_file.gender_code),
        party_code=classes.PARTY.kept(voter_file.party_cd),
        **further,
    )


def _registered(voter_file: ir.Table) -> ir.Table:
    rows = _normalised(voter_file, address=address_text(voter_file))
    return rows.filter(rows.status.notin(NOT_REGISTERED), rows.district.notnull())


def mended(voter_file: ir.Table) -> ir.Table:
    """How much of a snapshot `voters` mends or leaves out.

    Args:
        voter_file: rows of ``raw/voter_file``.

    Returns:
        One row of counts of raw rows: ``raw_rows``, ``not_registered``, ``without_district`` (registered, left out),
        ``repeated_rows`` (registered rows beyond a person's first), and ``unrecognised_race``, ``_ethnicity``,
        ``_gender``, ``_party``, ``_status`` and ``without_birth_year``, ``without_registration_year`` and
        ``without_address`` among the registered.
    """
    rows = _normalised(voter_file, has_street=has_street(voter_file.res_street_address))
    registered = rows.status.notin(NOT_REGISTERED)
    placed = registered & rows.district.notnull()
    measures = {
        "raw_rows": rows.count(),
        "not_registered": rows.count(where=~registered),
        "without_district": rows.count(where=registered & rows.district.isnull()),
        "repeated_rows": rows.count(where=placed) - rows.person.nunique(where=placed),
        **{
            f"unrecognised_{column}": rows.count(where=registered & (rows[column] == codes.UNRECOGNISED))
            for column in ("race", "ethnicity", "gender", "party", "status")
        },
        "without_birth_year": rows.count(where=registered & rows.birth_cohort.isnull()),
        "without_registration_year": rows.count(where=registered & rows.registered_year.isnull()),
        "without_address": rows.count(where=registered & ~rows.has_street),
    }
    return rows.aggregate(**measures)


def require_districts(counts: Mapping[str, int], *, partition: str) -> None:
    """Refuse a snapshot in which too many registered rows have no readable district.

    Args:
        counts: the row of `mended`.
        partition: the snapshot's partition key, for the message.

    Raises:
        SourceError: more than `LEFT_OUT_AT_MOST` of the registered rows would be left out.
    """
    registered = counts["raw_rows"] - counts["not_registered"]
    unplaced = counts["without_district"]
    if unplaced > LEFT_OUT_AT_MOST * registered:
        raise SourceError(
            source=f"Table raw/voter_file, partition {partition}",
            culprit=f"{unplaced:,} of {registered:,} registered rows have no readable district in cong_dist_abbrv; "
            f"at most {LEFT_OUT_AT_MOST:.0%} may be left out.",
            remedy="Has the state changed its layout? Compare with docs/sources/voter-file.md.",
        )
