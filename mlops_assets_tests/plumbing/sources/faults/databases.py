"""Rounds on SQLite: files that are damaged, tables that are others, questions that are none.

Put here faults of files that hold a database. Keep out servers (``servers``).
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.platform.errors import ContractError
from mlops_assets.plumbing.sources.sql.databases import Sqlite
from mlops_assets.plumbing.sources.sql.source import SqlSource
from mlops_assets_tests.plumbing.sources.faults import mutations, visits
from mlops_assets_tests.plumbing.sources.faults.dialects import contract
from mlops_assets_tests.plumbing.sources.faults.reference import RefusedError, Row, typed
from mlops_assets_tests.plumbing.sources.faults.rounds import Bench, Case
from mlops_assets_tests.plumbing.sources.faults.visits import MONTH, NAMES

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_COLUMNS: Final = ", ".join(NAMES)
_QUERY: Final = f"SELECT {_COLUMNS} FROM visits WHERE month = :partition"  # noqa: S608  ours
_OTHER: Final = "2024-02"


@contextmanager
def sqlite(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """A SQLite file with damaged bytes or another table, or a question that is none."""
    given = visits.rows(chance)
    with bench.room() as room:
        file = room / "shop.db"
        good = made(file, chance, given)
        options: dict[str, Any] = chance.choice([{"query": _QUERY}, {"table": "visits", "where": "month = :month"}])
        asked = dict(options)
        wanted: list[list[Row]] | None = None
        fault = chance.choice(["bytes", "bytes", "bytes", "column", "value", "question", "emptied", "journal"])
        if fault == "bytes":
            content, how = mutations.some(chance, good)
            file.write_bytes(content)
            fault, wanted = how, _as_sqlite_reads(file)
        elif fault == "question":
            name, text = next(iter(options.items())) if "query" in options else ("where", options["where"])
            asked[name] = _misspelt(chance, text)
            # Another question may have another answer.
        elif fault == "emptied":
            file.write_bytes(b"")
            wanted = []
        elif fault == "journal":
            (room / f"shop.db{chance.choice(['-journal', '-wal', '-shm'])}").write_bytes(chance.randbytes(600))
            wanted = [typed(given)]
        else:
            with closing(sqlite3.connect(file, isolation_level=None)) as connection:
                column = chance.choice(NAMES)
                if fault == "column":
                    connection.execute(f"ALTER TABLE visits RENAME COLUMN {column} TO other")
                else:
                    value: Any = chance.choice([*mutations.VALUES, b"\xff\x00", 10**18, 0.1, 1e300, None])
                    connection.execute(f"UPDATE visits SET {column} = ? WHERE rowid = 1", [value])  # noqa: S608  ours
            wanted = _as_sqlite_reads(file)
        source = SqlSource(contract=contract(chance), database=Sqlite(path=str(file)), connect_seconds=0.2, **options)

        def heal() -> None:
            for each in room.iterdir():
                each.unlink()
            file.write_bytes(good)

        try:
            broken = source.model_validate({**source.__dict__, "query": None, "table": None, "where": None, **asked})
        except ContractError:
            # What may not be declared is asked as it was.
            broken = source
        yield Case(
            fault=fault,
            source=broken,
            healed=source,
            accepted=wanted,
            truth=typed(given),
            heal=heal,
            private=visits.words_of(given),
        )


def _misspelt(chance: random.Random, text: str) -> str:
    words = text.split(" ")
    at = chance.randrange(len(words))
    words[at] = chance.choice(
        ["", "x", "'", '"', ";", "--", "/*", ":nothing", "?", "(", "SELECT 1;", "\0", "é", "month month", "NULL"]
    )
    return " ".join(words)


def made(file: Path, chance: random.Random, given: Sequence[visits.Texts]) -> bytes:
    """Make a good file of these rows, and of one of another month; what it holds."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {chance.choice([512, 1024, 4096])}")
        key = chance.choice(["PRIMARY KEY (visit)", "CHECK (1)"])
        connection.execute(f"CREATE TABLE visits (month TEXT, {_COLUMNS}, {key})")
        rows = [[month, *(each[name] for name in NAMES)] for month, each in [(MONTH, each) for each in given]]
        rows.append([_OTHER, "1", *[None] * (len(NAMES) - 1)])
        connection.executemany(f"INSERT INTO visits VALUES (?, {', '.join('?' * len(NAMES))})", rows)  # noqa: S608  ours
    return file.read_bytes()


def _as_sqlite_reads(file: Path) -> list[list[Row]]:
    """The rows as SQLite's own library has them."""
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            chosen = ", ".join(
                f"CASE typeof({name}) WHEN 'blob' THEN {name} ELSE CAST({name} AS TEXT) END" for name in NAMES
            )
            found = connection.execute(f"SELECT {chosen} FROM visits WHERE month = '{MONTH}'").fetchall()  # noqa: S608  ours
        if any(isinstance(each, bytes) for row in found for each in row):
            return []
        return [typed([dict(zip(NAMES, row, strict=True)) for row in found])]
    except (sqlite3.Error, RefusedError, UnicodeError, OverflowError):
        return []
