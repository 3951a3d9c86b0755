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
from mlops_assets.plumbing.sources.databases import Postgres
from mlops_assets.plumbing.sources.files import FileSource
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets.plumbing.sources.sql import SqlSource
from mlops_assets.plumbing.sources.wholeness import Checksum
from mlops_assets_tests.plumbing.sources.faults.visits import MONTHS, NAMES, contract

if TYPE_CHECKING:
    import datetime as dt
    import random
    from pathlib import Path

    from mlops_assets_tests.postgres import PostgresDatabase

FOLDER: Final = "ARRIVALS_FOLDER"
DSN: Final = "ARRIVALS_DSN"
PASSWORD: Final = "ARRIVALS_PASSWORD"  # noqa: S105  the name of a variable
TABLES: Final = tuple(os.environ.get("TABLES", "filed booked").split())
"""Which are there; the second takes three minutes to be asked for all of its partitions."""
KEYS: Final = tuple(MONTHS.get_partition_keys())
FILED: Final = contract("filed", Lake("shop"))
BOOKED: Final = contract("booked", Lake("shop"))
_AT_A_TIME: Final = 2


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
    return build_defs([each for each in (files, table) if each.contract.table in TABLES], name="arriving")


class Sender:
    """Delivers files and changes the table, and knows what the last whole delivery of each month was.

    Attributes:
        rows: how many rows each delivery has, by its number.
        last: the number of the last whole one, by table and month.
        kinds: how often what was done.
    """

    def __init__(self, folder: Path, database: PostgresDatabase, chance: random.Random) -> None:
        self._folder = folder
        self._database = database
        self._chance = chance
        self.rows: dict[int, int] = {}
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

    def _new(self) -> int:
        number = len(self.rows) + 1
        self.rows[number] = self._chance.randint(1, 3000)
        return number

    def _write(self, month: str, number: int, *, whole: bool, rename: bool = False) -> None:
        file, rest = self._folder / f"{month}.csv", "," * (len(NAMES) - 2)
        lines = [",".join(NAMES), *(f"{visit},{number}{rest}" for visit in range(1, self.rows[number] + 1))]
        content = "".join(f"{line}\n" for line in lines).encode()
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
