"""A code location that takes files as they arrive and asks a database, for rounds in which processes are killed.

Put here what is deployed, and what is delivered to it. Keep out who is killed (``chaos/arrivals.py``).
"""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from typing import TYPE_CHECKING, Final

import dagster as dg
import psycopg2

from mlops_assets.platform.assets.definitions import build_defs
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.plumbing.sources import arrivals
from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Checksum
from mlops_assets.plumbing.sources.http.file import HttpFileSource
from mlops_assets.plumbing.sources.http.limits import FileLimits, Limits
from mlops_assets.plumbing.sources.http.pages import PageNumber
from mlops_assets.plumbing.sources.http.rest import RestSource
from mlops_assets.plumbing.sources.increments import Since
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets.plumbing.sources.sql.databases import Postgres
from mlops_assets.plumbing.sources.sql.source import SqlSource
from mlops_assets_tests.plumbing.sources.api import ApiServer, Asked, Said
from mlops_assets_tests.plumbing.sources.faults.visits import MONTHS, NAMES, contract
from mlops_assets_tests.plumbing.sources.file_server import FileServer

if TYPE_CHECKING:
    import datetime as dt
    import random
    from pathlib import Path

    from mlops_assets_tests.postgres import PostgresDatabase

FOLDER: Final = "ARRIVALS_FOLDER"
DSN: Final = "ARRIVALS_DSN"
PASSWORD: Final = "ARRIVALS_PASSWORD"  # noqa: S105  the name of a variable
EXPORTS: Final = "ARRIVALS_EXPORTS"
CHANGES: Final = "ARRIVALS_CHANGES"
TABLES: Final = tuple(os.environ.get("TABLES", "filed booked fetched changed").split())
"""Which are there; the second takes three minutes to be asked for all of its partitions."""
KEYS: Final = tuple(MONTHS.get_partition_keys())
FILED: Final = contract("filed", Lake("shop"))
BOOKED: Final = contract("booked", Lake("shop"))
FETCHED: Final = contract("fetched", Lake("shop"))
CHANGED: Final = contract("changed", Lake("shop"), never_null=("visit", "small"))
_AT_A_TIME: Final = 2
_PAGE: Final = 5_000


def due(moment: dt.datetime) -> list[str]:
    """Some months at each minute, all of them in three."""
    first = moment.minute * _AT_A_TIME % len(KEYS)
    return list(KEYS[first : first + _AT_A_TIME])


def defs() -> dg.Definitions:
    """The files and the table, looked at as often as can be."""
    # What is asked for again after a minute would take the night.
    vars(arrivals).update(FIRST_PAUSE_SECONDS=1.0, LONGEST_PAUSE_SECONDS=4.0)
    files = FileSource(
        contract=FILED,
        path=dg.EnvVar(FOLDER),
        file="{month}.csv",
        whole=Checksum(),
        every_seconds=5,
        retries=1,
        retry_seconds=1.0,
    )
    table = SqlSource(
        contract=BOOKED,
        database=Postgres(dsn=dg.EnvVar(DSN), password=Secret(env=PASSWORD)),
        table="visits",
        where="month = :month",
        cron="* * * * *",
        due=due,
        retries=2,
        retry_seconds=1.0,
        connect_seconds=5.0,
    )
    exports = HttpFileSource(
        contract=FETCHED,
        url=dg.EnvVar(EXPORTS),
        limits=FileLimits(attempts=2, first_delay_seconds=0.05, total_seconds=20.0),
        every_seconds=5,
        cron="* * * * *",
        due=lambda _: [*KEYS],
        retries=1,
        retry_seconds=1.0,
    )
    changes = RestSource(
        contract=CHANGED,
        url=dg.EnvVar(CHANGES),
        query={"month": "{month}", "since": "{since}"},
        paginate=PageNumber(total="total"),
        rows="data",
        since=Since(column="small", start="0"),
        limits=Limits(attempts=2, first_delay_seconds=0.05),
        cron="* * * * *",
        due=due,
        retries=2,
        retry_seconds=1.0,
    )
    every = (files, table, exports, changes)
    return build_defs([each for each in every if each.contract.table in TABLES], name="arriving")


class Servers:
    """A server of files, and a service that answers what has changed; both live as long as the campaign.

    Attributes:
        exports: the files, by month.
        held: the rows of the service, by month and number; each with the number of its last change, and that of the
            last change of all.
    """

    def __init__(self) -> None:
        self.exports = FileServer()
        self.held: dict[str, dict[int, dict[str, object]]] = {}
        self.changes = ApiServer(self._answer)

    def change(self, month: str, number: int, chance: random.Random) -> None:
        """Change some rows, and add some: all say since when they are so."""
        rows = {visit: dict(row) for visit, row in self.held.get(month, {}).items()}
        new = range(len(rows) + 1, len(rows) + chance.randint(1, 40))
        for visit in [*chance.sample(list(rows), min(len(rows), 20)), *new, 0]:
            rows[visit] = {**dict.fromkeys(NAMES), "visit": visit, "who": str(number), "small": number}
        # A question sees the rows before it or after it.
        self.held = {**self.held, month: rows}

    def _answer(self, asked: Asked) -> Said:
        rows = self.held[asked.query["month"]].values()
        found = sorted((row for row in rows if str(row["small"]).zfill(9) >= asked.query["since"].zfill(9)), key=str)
        start = (int(asked.query["page"]) - 1) * _PAGE
        return Said(value={"data": found[start : start + _PAGE], "total": len(found)})


class Sender:
    """Delivers files and changes the table, and knows what the last whole delivery of each month was.

    Attributes:
        rows: how many rows each delivery has, by its number.
        sums: of changes, what the numbers of all rows' last changes come to.
        last: the number of the last whole one, by table and month.
        kinds: how often what was done.
    """

    def __init__(self, folder: Path, database: PostgresDatabase, chance: random.Random, servers: Servers) -> None:
        self._folder = folder
        self._database = database
        self._chance = chance
        self._servers = servers
        self.rows: dict[int, int] = {}
        self.sums: dict[int, int] = {}
        self.last: dict[tuple[str, str], int] = {}

    def file(self, month: str) -> str:
        """Deliver a file of that month: a new one, the same, one of before, or half of one; what it was."""
        before = self.last.get(("filed", month))
        kind = self._chance.choice(["new", "new", "again", "half", "renamed"]) if before else "new"
        if kind == "again" and before:
            self._write(month, before, whole=True)
        elif kind == "half":
            # Its checksum is not changed: nobody takes it.
            self._write(month, self._new(), whole=False)
        else:
            number = self._new()
            self._write(month, number, whole=True, rename=kind == "renamed")
            self.last["filed", month] = number
        return f"file {kind}"

    def wanted(self, number: int) -> tuple[int, int, list[str], int]:
        """How a partition looks that holds the delivery of that number: as ``held`` of the campaign tells it."""
        rows = self.rows[number]
        return rows, rows, [str(number)], self.sums.get(number, rows * number)

    def finish(self) -> None:
        """Deliver the last whole file of each month once more."""
        for (table, month), number in self.last.items():
            if table == "filed":
                self._write(month, number, whole=True)

    def book(self, month: str) -> str:
        """Change the month's rows in the table, in one transaction."""
        number = self._new()
        with (
            closing(psycopg2.connect(self._database.dsn, password=self._database.password)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("DELETE FROM visits WHERE month = %s", [month])
            cursor.execute(
                "INSERT INTO visits (month, visit, who) SELECT %s, n, %s FROM generate_series(1, %s) AS n",
                [month, str(number), self.rows[number]],
            )
        self.last["booked", month] = number
        return "table changed"

    def export(self, month: str) -> str:
        """Replace the file that is at an address, perhaps while it is fetched, or let connections break off."""
        number = self._new()
        self._servers.exports.files[f"/{month}.csv"] = self._content(number)
        if self._chance.random() < 0.5:
            self._servers.exports.manners.cuts.append(self._chance.randint(1, 10_000))
        self.last["fetched", month] = number
        return "export replaced"

    def change(self, month: str) -> str:
        """Change some rows of the month that a service has, and add some."""
        number = self._new()
        self._servers.change(month, number, self._chance)
        held = self._servers.held[month]
        self.rows[number] = len(held)
        self.sums[number] = sum(int(str(row["who"])) for row in held.values())
        self.last["changed", month] = number
        return "rows changed"

    def _content(self, number: int) -> bytes:
        rest = "," * (len(NAMES) - 2)
        lines = [",".join(NAMES), *(f"{visit},{number}{rest}" for visit in range(1, self.rows[number] + 1))]
        return "".join(f"{line}\n" for line in lines).encode()

    def _new(self) -> int:
        number = len(self.rows) + 1
        self.rows[number] = self._chance.randint(1, 3000)
        return number

    def _write(self, month: str, number: int, *, whole: bool, rename: bool = False) -> None:
        file, content = self._folder / f"{month}.csv", self._content(number)
        target = self._folder / f".{month}" if rename else file
        if not whole:
            content = content[: self._chance.randrange(len(content))]
        target.write_bytes(content)
        target.replace(file)
        if whole:
            sums = self._folder / f".{month}.sha256"
            sums.write_text(f"{hashlib.sha256(content).hexdigest()}  {month}.csv\n", encoding="ascii")
            sums.replace(self._folder / f"{month}.csv.sha256")


if FOLDER in os.environ:
    # Dagster loads this module by its name, and finds them by their type.
    definitions = defs()
