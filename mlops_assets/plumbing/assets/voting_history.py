"""Voting history: the declaration of the database in which a state's election office keeps who voted when.

Put here what is theirs alone: where the operator says that it is, and how its rows name a state and an election. Keep
out how a database is asked, and any change of its values.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.contracts.partitions import ELECTION_YEARS, STATES, TIME_ZONE, election_day
from mlops_assets.contracts.raw import VOTING_HISTORY
from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.settings import PREFIX
from mlops_assets.plumbing.assets.addresses import address_of
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets.plumbing.sources.sql.databases import Postgres, Sqlite, fault_of
from mlops_assets.plumbing.sources.sql.source import SqlSource

if TYPE_CHECKING:
    from mlops_assets.platform.settings import Settings
    from mlops_assets.plumbing.sources.delivered import Delivered, Request

_SETTING: Final = "SOURCES__VOTING_HISTORY"
_PASSWORD: Final = f"{_SETTING}_PASSWORD"
_SQLITE: Final = "sqlite:///"
_COLUMNS: Final = ("state", "ncid", "county_id", "county_desc", "election_lbl", "voting_method", "voted_party_cd")
_DAYS: Final = " ".join(f"WHEN '{year}' THEN '{election_day(year):%m/%d/%Y}'" for year in ELECTION_YEARS)
# A row whose state or day is written otherwise may be of any partition. It comes along, with another election than any,
# so that it is counted and refused: left out, it would be a person who seems not to have voted.
_QUERY: Final = f"""
WITH
history AS (SELECT {", ".join(f"CAST({name} AS TEXT) AS {name}" for name in _COLUMNS)} FROM voting_history),
day AS (SELECT CASE :election {_DAYS} END AS label)
SELECT history.*, CASE WHEN election_lbl = label THEN :election ELSE 'another by election_lbl' END AS election
FROM history, day
WHERE (upper(trim(state)) = :state OR state NOT LIKE '__' OR state IS NULL)
AND (election_lbl = label OR election_lbl NOT LIKE '__/__/____' OR election_lbl LIKE '% %' OR election_lbl IS NULL)
"""  # noqa: S608  constants

_HISTORY_FROM: Final = dt.timedelta(days=30)
_HISTORY_UNTIL: Final = dt.timedelta(days=365)


class _Password(Secret):
    """The password, which is a setting, and so may also stand in ``.env``."""

    def read(self, settings: Settings) -> str:
        return settings.secret(settings.sources.voting_history_password, _PASSWORD)


class VotingHistory(SqlSource):
    """The database, which the operator sets: SQLite or PostgreSQL."""

    def read(self, request: Request) -> Delivered:
        """Who voted in the partition's election.

        Raises:
            SettingsError: also where the address is of no such database, or holds a password.
        """
        settings = request.settings
        there = {"database": _database(settings), "connect_seconds": settings.sources.timeout_seconds}
        return super(VotingHistory, self.model_copy(update=there)).read(request)


def _database(settings: Settings) -> Sqlite | Postgres:
    address = address_of(settings, "voting_history")
    if address.startswith(_SQLITE):
        return Sqlite(path=address.removeprefix(_SQLITE))
    if culprit := fault_of(address):
        raise SettingsError(
            source=f"{PREFIX}{_SETTING}",
            culprit=culprit,
            remedy=f"Write {_SQLITE}path, or 'host=db dbname=history user=me' and the password as {PREFIX}{_PASSWORD}.",
        )
    return Postgres(dsn=address, password=_Password(env=f"{PREFIX}{_PASSWORD}"))


def voting_history_due(moment: dt.datetime) -> list[str]:
    """The voting history to refresh by then: offices record it within a month and correct it for about a year."""
    return [
        str(dg.MultiPartitionKey({"election": election, "state": state}))
        for election in ELECTION_YEARS
        if _HISTORY_FROM <= moment.date() - election_day(election) <= _HISTORY_UNTIL
        for state in STATES
    ]


voting_history: Final = VotingHistory(
    contract=VOTING_HISTORY,
    database=Sqlite(path=dg.EnvVar(f"{PREFIX}{_SETTING}")),
    query=_QUERY,
    # Monthly.
    cron="30 6 3 * *",
    timezone=TIME_ZONE,
    due=voting_history_due,
)
