"""Small populations for the tests of variance: crowds of people as rows, and what is found between two of them.

Put here the building of snapshots and the reading of results. Keep out expectations.
"""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING, Any, Final

import ibis
import pyarrow as pa

from mlops_assets.variance.linked.events import events
from mlops_assets.variance.linked.kinds import condense
from mlops_assets.variance.linked.recognition import DEFAULT
from mlops_assets.variance.linked.snapshots import Layout, link
from mlops_assets.variance.linked.ways import PARTS, changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlops_assets.variance.linked.recognition import Thresholds

Row = dict[str, Any]

COLUMNS: Final = {
    "person": "VARCHAR",
    "district": "VARCHAR",
    "address": "VARCHAR",
    "party": "VARCHAR",
    "party_code": "VARCHAR",
    "copies": "BIGINT",
}
LAYOUT: Final = Layout(
    entity="person",
    unit="district",
    address=("address",),
    attributes={"party": "party_code"},
    copies="copies",
    plural="districts",
)


def crowd(name: str, size: int, *, district: str, party: str = "BLUE", code: str | None = None) -> list[Row]:
    """That many people of one district and party, each at an own address, identified by name and number."""
    return [
        {
            "person": f"{name}{n}",
            "district": district,
            "address": f"house of {name}{n}",
            "party": party,
            "party_code": code or party[:1],
            "copies": 1,
        }
        for n in range(size)
    ]


def but(rows: Iterable[Row], **changed: str | int | None) -> list[Row]:
    """The same rows with other values in those columns."""
    return [{**row, **changed} for row in rows]


def moved(rows: Iterable[Row], *, district: str) -> list[Row]:
    """The same people at new addresses in that district."""
    return [{**row, "address": f"new {row['address']}", "district": district} for row in rows]


class Comparer:
    """Two tables of a real DuckDB that take one pair of snapshots after another, with the comparison compiled once."""

    def __init__(self, columns: Mapping[str, str], layout: Layout, thresholds: Thresholds = DEFAULT) -> None:
        """Make the empty tables and compile the comparison; columns are given with their DuckDB types."""
        self.columns = columns
        self.engine = ibis.duckdb.connect()
        for name in ("earlier", "later"):
            listed = ", ".join(f"{column} {kind}" for column, kind in columns.items())
            self.engine.con.execute(f"CREATE TABLE {name} ({listed})")
        self.kinds = condense(link(self.engine.table("earlier"), self.engine.table("later"), layout), layout)
        self.changes = self.engine.compile(changes(self.kinds, layout, thresholds))
        self.events = self.engine.compile(events(self.kinds, layout, thresholds))

    def fill(self, before: Iterable[Row], after: Iterable[Row]) -> None:
        """Replace the rows of both tables."""
        for name, rows in (("earlier", before), ("later", after)):
            self.engine.con.execute(f"DELETE FROM {name}")  # noqa: S608  one of two names above
            table = pa.table({column: [row[column] for row in rows] for column in self.columns})
            if len(table):
                self.engine.con.register("arriving", table)
                self.engine.con.execute(f"INSERT INTO {name} FROM arriving")

    def rows(self, query: str) -> list[Row]:
        """What a compiled query gives for the rows now in the tables."""
        cursor = self.engine.con.execute(query)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@functools.cache
def comparer() -> Comparer:
    """The comparer of crowds, with the usual thresholds."""
    return Comparer(COLUMNS, LAYOUT)


def changes_between(before: list[Row], after: list[Row]) -> dict[tuple[str, str], dict[str, int]]:
    """For each district and party ``before``, ``after`` and the parts that are not zero; checks that they add up.

    The party ``all`` stands for everybody.
    """
    comparer().fill(before, after)
    cells = {}
    for row in comparer().rows(comparer().changes):
        assert row["before"] + sum(row[part] for part in PARTS) == row["after"]
        parts = {part: row[part] for part in PARTS if row[part]}
        cells[row["unit"], row["category"]] = {"before": row["before"], **parts, "after": row["after"]}
    return cells


def events_between(before: list[Row], after: list[Row]) -> list[Row]:
    """The events, sorted by cause and name."""
    comparer().fill(before, after)
    return sorted(comparer().rows(comparer().events), key=lambda row: (row["cause"], row["name"]))


def town(seed: int, *, districts: int = 4, households: int = 500) -> list[Row]:
    """Districts of households of one to three people with three parties."""
    chance = random.Random(seed)  # noqa: S311  a population, not a secret
    rows = []
    for number in range(districts):
        district = f"{number + 1:02d}"
        for house in range(households):
            for n in range(chance.randint(1, 3)):
                party = chance.choice(("BLUE", "RED", "NONE"))
                rows += but(
                    crowd(f"{seed}-{district}-{house}-{n}-", 1, district=district, party=party),
                    address=f"{house} {district} Street",
                )
    return rows


def ordinary_month(seed: int, rows: list[Row]) -> list[Row]:
    """The same town a month later: about 1 % of the households move, 1 % leave, 1 % come, 1 % of people change party.

    A few addresses are put right (0.1 %), and a few records came twice.
    """
    chance = random.Random(seed)  # noqa: S311  a population, not a secret
    districts = sorted({row["district"] for row in rows})
    moving = {row["address"]: chance.choice(districts) for row in rows if chance.random() < 0.005}
    leaving = {row["address"] for row in rows if chance.random() < 0.005}
    later = []
    for row in rows:
        now = dict(row)
        if row["address"] in leaving:
            continue
        if row["address"] in moving:
            now = moved([row], district=moving[row["address"]])[0]
        elif chance.random() < 0.001:
            now["district"] = chance.choice(districts)
        if chance.random() < 0.01:
            now["party"] = chance.choice(("BLUE", "RED", "NONE"))
            now["party_code"] = now["party"][:1]
        now["copies"] = 2 if chance.random() < 0.002 else 1
        later.append(now)
    for n in range(len(rows) // 100):
        later += crowd(f"new {seed} {n} ", 1, district=chance.choice(districts), party=chance.choice(("BLUE", "RED")))
    return later
