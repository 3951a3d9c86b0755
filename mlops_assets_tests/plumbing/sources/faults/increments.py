"""Rounds on sources that are asked for changes alone: whatever fails between, the table is that of a whole reading.

Put here what changes between the increments, what must be published then, and the faults of SQLite. Keep out the
service that answers changes over HTTP (``changes``).
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

import dagster as dg

import mlops_assets as ma
from mlops_assets.platform.assets.raw import KEPT, TAG
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.plumbing.sources.increments import WHOLE_TAG
from mlops_assets_tests.plumbing.sources.faults import visits
from mlops_assets_tests.plumbing.sources.faults.changes import ChangingService
from mlops_assets_tests.plumbing.sources.faults.reference import typed
from mlops_assets_tests.plumbing.sources.faults.rounds import Bench, WrongError, first_other, published, same
from mlops_assets_tests.plumbing.sources.faults.stories import Story, run
from mlops_assets_tests.plumbing.sources.faults.visits import MONTHS, NAMES, Texts

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets_tests.plumbing.sources.faults.reference import Row

_KEYS: Final = tuple(MONTHS.get_partition_keys())
_COLUMNS: Final = ("small", "day", "at", "seen", "who")
_BEGIN: Final = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
_START: Final = {"small": "-5", "day": "2020-01-01", "at": "2020-01-01T00:00:00", "seen": "2020-01-01T00:00:00Z",
                 "who": " "}  # fmt: skip
_UNIT: Final = {"small": 1.0, "day": 1.0, "at": 60.0, "seen": 60.0, "who": 0.0}
"""What lies between two changes, in the units of ``overlap``."""
_WHERE: Final = {"small": "small >= :since", "day": "day >= :since", "who": "who >= :since",
                 "at": "julianday(at) >= julianday(:since)",
                 "seen": "julianday(seen) >= julianday(:since)"}  # fmt: skip
_SQLITE: Final = ("none", "none", "damaged", "renamed", "gone", "odd value", "twice", "future", "empty")
_TIMES: Final = frozenset({"day", "at", "seen"})
_ODD: Final = {"day": "2024-02-30", "amount": "1,5", "price": "1.005", "paid": "maybe", "visit": None}
CONTRACTS: Final = {
    (column, personal): visits.contract(
        f"by_{column}",
        Lake("people", personal=True) if personal else Lake("shop"),
        personal=personal,
        never_null=("visit", column),
    )
    for column in _COLUMNS
    for personal in (False, True)
}


class Table:
    """The rows of a source that changes, and of what is published those that must be.

    Attributes:
        rows: by number what the source holds.
        shown: what is published of it: rows that are gone stay until all is asked for.
    """

    def __init__(self, chance: random.Random, column: str, most_late: int) -> None:
        self.chance, self.column, self.most_late = chance, column, most_late
        self.rows: dict[str, Texts] = {}
        self.shown: dict[str, Texts] | None = None
        self._clock = 0
        self._clocks: dict[str, int] = {}
        self.change()

    def change(self) -> None:
        """Some rows come, change, or go."""
        for _ in range(self.chance.randint(0, 4) if self.rows else 3):
            number = self.chance.choice(list(self.rows)) if self.rows and self.chance.random() < 0.5 else None
            if number is not None and self.chance.random() < 0.3 and len(self.rows) > 1:
                del self.rows[number]
                continue
            self.put(number)

    def put(self, number: str | None = None) -> str:
        """A row that is new, or other than it was."""
        row = visits.row(self.chance, len(self._clocks) % 100)
        row["visit"] = number = number or row["visit"]
        assert number is not None
        late = self.chance.randint(1, self.most_late) if self.most_late and self.chance.random() < 0.3 else 0
        last = max((self._clocks[each] for each in self.shown or ()), default=0)
        if late and self.shown and number not in self.shown:
            # It becomes visible later than it says, but not later than by the overlap.
            clock = max(last - late, 0)
        else:
            # What changes at the same moment as the last one comes with it again.
            self._clock += self.chance.choice([0, 1, 1, 2])
            clock = self._clock = max(self._clock, last)
        self._clocks[number] = clock
        row[self.column] = self.text(clock)
        self.rows[number] = row
        return number

    def text(self, clock: int) -> str:
        """What the column of changes holds then."""
        moment = _BEGIN + dt.timedelta(minutes=clock)
        match self.column:
            case "small":
                return str(clock)
            case "day":
                return (_BEGIN + dt.timedelta(days=clock)).date().isoformat()
            case "at":
                return moment.replace(tzinfo=None).isoformat(sep=self.chance.choice("T "))
            case "seen":
                return moment.isoformat().replace("+00:00", "Z")
        return f"{clock:06}"

    def latest(self) -> str:
        """The moment of a change that no question leaves out."""
        return self.text(max(self._clocks.values()))

    def wanted(self, *, whole: bool) -> dict[str, Texts]:
        """What must be published once it was asked."""
        return dict(self.rows) if whole or self.shown is None else {**self.shown, **self.rows}


@contextmanager
def increments(chance: random.Random, bench: Bench) -> Iterator[Story]:
    """A SQLite file or a service that changes, and is asked for that; some of the questions fail."""
    column = chance.choice(_COLUMNS)
    late = chance.choice([0, 0, 3]) if _UNIT[column] else 0
    table = Table(chance, column, late)
    since = ma.Since(column=column, start=_START[column], overlap=late * _UNIT[column])
    contract, key = CONTRACTS[column, chance.random() < 0.5], chance.choice(_KEYS)
    with bench.room() as room:
        if chance.random() < 0.5:
            file = _File(room / "shop.db", chance, table)
            yield Story(
                fault=f"SQLite by {column}", played=lambda: _played(table, file, file.source(contract, since), key)
            )
            return
        with ChangingService(chance, table) as service:
            source = service.source(contract, since)
            yield Story(fault=f"REST by {column}", played=lambda: _played(table, service, source, key))


def _played(table: Table, system: _File | ChangingService, source: ma.Source, key: str) -> str:
    """Ask some times, the first and the last time for all."""
    with dg.DagsterInstance.ephemeral() as instance:
        return _asked(table, system, source, key, instance)


def _asked(
    table: Table, system: _File | ChangingService, source: ma.Source, key: str, instance: dg.DagsterInstance
) -> str:
    system.put("none")
    _ask(table, source, key, "none", whole=True, instance=instance)
    failed = 0
    for _ in range(table.chance.randint(1, 3)):
        table.change()
        timed = table.column in _TIMES
        fault = table.chance.choice([each for each in system.FAULTS if timed or each != "future"])
        system.put(fault)
        failed += not _ask(table, source, key, fault, whole=table.chance.random() < 0.1, instance=instance)
    if table.chance.random() < 0.3:
        _read_again(table, source, key, instance)
    system.put("none")
    _ask(table, source, key, "none", whole=table.chance.random() < 0.5, instance=instance)
    return "complete" if not failed else "complete after failures"


def _ask(table: Table, source: ma.Source, key: str, fault: str, *, whole: bool, instance: dg.DagsterInstance) -> bool:
    """Whether a run published; what is published is what must be.

    Raises:
        WrongError: it is not.
    """
    private = visits.words_of([*table.rows.values(), *(table.shown or {}).values()])
    found, told = run(source, key, tags={WHOLE_TAG: ""} if whole else None, private=private, instance=instance)
    wanted = table.wanted(whole=whole)
    asked = f"{fault}, {'whole' if whole else 'increment'}"
    if found is None:
        if fault in {"none", "again"}:
            raise WrongError(f"{asked}: it was refused: {told}")
        _require_shown(table, source, key, asked)
        return False
    if fault == "empty":
        # Nobody can know that there was something.
        wanted = {} if whole else dict(table.shown or {})
    elif fault not in {"none", "again", "too many"}:
        raise WrongError(f"{asked}: it published {len(found)} rows")
    _require(found, _typed(wanted, key), asked)
    table.shown = wanted
    return True


def _read_again(table: Table, source: ma.Source, key: str, instance: dg.DagsterInstance) -> None:
    """From what was kept the same comes, whatever the source holds by now."""
    found, told = run(source, key, tags={TAG: KEPT}, instance=instance)
    if found is None:
        raise WrongError(f"what was kept is refused: {told}")
    _require(found, _typed(table.shown or {}, key), "read again")


def _require_shown(table: Table, source: ma.Source, key: str, asked: str) -> None:
    _require(published(source, key), _typed(table.shown or {}, key), f"{asked}, refused")


def _typed(rows: dict[str, Texts], key: str) -> list[Row]:
    return typed(list(rows.values()), key)


def _require(found: list[Row], wanted: list[Row], asked: str) -> None:
    if not same(found, wanted):
        raise WrongError(
            f"{asked}: {len(found)} rows are published, {len(wanted)} were due; {first_other(found, wanted)}, "
            f"lacking {first_other(wanted, found)}"
        )


class _File:
    """A SQLite file of that table, with a fault or without."""

    FAULTS = _SQLITE

    def __init__(self, file: Path, chance: random.Random, table: Table) -> None:
        self._file, self._chance, self._table = file, chance, table

    def source(self, contract: Contract, since: ma.Since) -> ma.SqlSource:
        """Its declaration."""
        return ma.SqlSource(
            contract=contract,
            database=ma.Sqlite(path=str(self._file)),
            query=f"SELECT {', '.join(NAMES)} FROM visits WHERE {_WHERE[since.column]}",  # noqa: S608  ours
            since=since,
        )

    def put(self, fault: str) -> None:
        """Write the file as the table is now."""
        self._file.unlink(missing_ok=True)
        rows = [{**each} for each in self._table.rows.values()]
        if fault == "odd value":
            name = self._chance.choice([each for each in _ODD if each != self._table.column])
            rows[0] |= {self._table.column: self._table.latest(), name: _ODD[name]}
        if fault == "twice":
            rows[0][self._table.column] = self._table.latest()
            rows.append(rows[0])
        if fault == "future":
            rows[0][self._table.column] = {"day": "2999-01-01"}.get(self._table.column, "2999-01-01T00:00:00Z"[:19])
        self._write(rows if fault != "empty" else [], "other" if fault == "renamed" else "price")
        if fault == "damaged":
            with self._file.open("r+b") as opened:
                opened.write(self._chance.randbytes(100))
        if fault == "gone":
            self._file.unlink()

    def _write(self, rows: list[Texts], price: str) -> None:
        with closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            names = [price if name == "price" else name for name in NAMES]
            connection.execute(f"CREATE TABLE visits ({', '.join(names).replace('small', 'small INTEGER')})")
            marks = ", ".join("?" * len(NAMES))
            connection.executemany(
                f"INSERT INTO visits VALUES ({marks})",  # noqa: S608  ours
                [[each[name] for name in NAMES] for each in rows],
            )
