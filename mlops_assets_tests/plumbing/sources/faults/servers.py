"""Rounds on database servers that end, restart, kill or refuse what is asked, or whose rows change meanwhile.

Put here faults of PostgreSQL and MariaDB. Keep out SQLite (``sql.databases``).
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import threading
import time
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final

import psycopg2
import pymysql

from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets.plumbing.sources.sql.databases import MySql, Postgres
from mlops_assets.plumbing.sources.sql.source import SqlSource
from mlops_assets_tests import mariadb, postgres
from mlops_assets_tests.plumbing.sources.faults import visits
from mlops_assets_tests.plumbing.sources.faults.dialects import contract
from mlops_assets_tests.plumbing.sources.faults.reference import Row, typed
from mlops_assets_tests.plumbing.sources.faults.rounds import Bench, Case
from mlops_assets_tests.plumbing.sources.faults.visits import NAMES

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from mlops_assets_tests.mariadb import MariaDatabase, MariaServer
    from mlops_assets_tests.postgres import PostgresDatabase, PostgresServer

PROGRAMS: Final = {
    "PostgreSQL": shutil.which("initdb"),
    "MariaDB": shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin"),
}
"""The programs that rounds of a kind need, where they are."""
_COLUMNS: Final = ", ".join(NAMES)
_INSERT: Final = f"INSERT INTO visits VALUES ({', '.join(['%s'] * (len(NAMES) + 1))})"  # noqa: S608  ours


@contextmanager
def meanwhile(chance: random.Random, action: Callable[[], None], longest: float) -> Iterator[None]:
    """Something happens a moment after the block has begun."""
    delay = chance.uniform(0, longest)
    failed: list[Exception] = []

    def happens() -> None:
        time.sleep(delay)
        try:
            action()
        except Exception as error:  # noqa: BLE001  told below
            failed.append(error)

    thread = threading.Thread(target=happens)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failed:
        raise failed[0]


@contextmanager
def postgresql(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """PostgreSQL that ends, restarts, kills or refuses what is asked, or changes meanwhile."""
    server: PostgresServer = bench.server("postgres", postgres.running_server)
    database: PostgresDatabase = bench.server("postgres database", lambda: _of_postgres(server))
    given = visits.rows(chance)
    truth = typed(given)
    other = typed(visits.rows(chance))

    def fill(rows: Sequence[Row]) -> None:
        with (
            closing(psycopg2.connect(database.dsn, password=database.password)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("DELETE FROM visits")
            cursor.executemany(f"INSERT INTO visits VALUES ({', '.join(['%s'] * (len(NAMES) + 1))})", rows)  # noqa: S608  ours

    def end(how: str) -> None:
        asking = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        for _ in range(20):
            database.run(f"SELECT {how}(pid) FROM ({asking}) AS found")  # noqa: S608  ours
            time.sleep(0.005)

    def restart() -> None:
        server.stop()
        server.start()

    fill(truth)
    fault = chance.choice(["terminated", "cancelled", "restarted", "changed", "time", "renamed", "refused", "odd"])
    actions: dict[str, Callable[[], None]] = {
        "terminated": lambda: end("pg_terminate_backend"),
        "cancelled": lambda: end("pg_cancel_backend"),
        "restarted": restart,
        "changed": lambda: fill(other),
    }
    wanted = [truth, other] if fault == "changed" else [truth]
    slow = f"SELECT {_COLUMNS} FROM visits v, LATERAL pg_sleep(0.004 + 0 * visit) s WHERE month = :partition"  # noqa: S608  ours
    options: dict[str, Any] = {"query": slow}
    if fault == "time":
        options["timeout_seconds"] = 0.01
    if fault == "renamed":
        database.run(f"ALTER TABLE visits RENAME COLUMN {chance.choice(NAMES)} TO other")
    if fault == "odd":
        column, value = chance.choice(
            [
                ("day", "'infinity'"),
                ("at", "'-infinity'"),
                ("amount", "'NaN'"),
                ("price", "'NaN'"),
                ("day", "'0044-03-15 BC'"),
            ]
        )
        database.run(f"UPDATE visits SET {column} = {value}")  # noqa: S608  ours
        wanted = []
    password = Secret(env="WRONG_PASSWORD" if fault == "refused" else "POSTGRES_PASSWORD")
    os.environ |= {"POSTGRES_PASSWORD": database.password, "WRONG_PASSWORD": "wrong-but-secret"}
    source = SqlSource(contract=contract(chance), database=Postgres(dsn=database.dsn, password=password), **options)

    def heal() -> None:
        _create(database)
        fill(truth)

    action = actions.get(fault)
    yield Case(
        fault=fault,
        source=source,
        healed=source.model_copy(
            update={
                "timeout_seconds": 20.0,
                "database": Postgres(dsn=database.dsn, password=Secret(env="POSTGRES_PASSWORD")),
            }
        ),
        accepted=wanted if fault != "odd" else None,
        truth=truth,
        heal=heal,
        private=visits.words_of(given),
        secrets=(database.password, "wrong-but-secret"),
        around=meanwhile(chance, action, 0.2) if action else nullcontext(),
    )


def _create(database: PostgresDatabase) -> None:
    database.run(
        "DROP TABLE IF EXISTS visits; CREATE TABLE visits (month text, visit bigint, who text, day date, at timestamp, "
        "seen timestamptz, amount float8, price numeric(12, 2), small smallint, paid boolean)"
    )


@contextmanager
def _of_postgres(server: PostgresServer) -> Iterator[PostgresDatabase]:
    database = server.create_database()
    _create(database)
    yield database


@contextmanager
def mysql(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """MariaDB that ends, restarts or kills what is asked, or changes meanwhile."""
    server: MariaServer = bench.server("mariadb", _mariadb)
    database: MariaDatabase = bench.server("mariadb database", lambda: _of_mariadb(server))
    given = visits.rows(chance)
    truth, other = typed(given), typed(visits.rows(chance))

    def fill(rows: Sequence[Row]) -> None:
        texts = [[_as_text(each) for each in row] for row in rows]
        database.run("DELETE FROM visits", _INSERT, rows=texts)

    def end(how: str) -> None:
        for _ in range(20):
            found = server.administer(f"SELECT id FROM information_schema.processlist WHERE user = '{database.name}'")  # noqa: S608  ours
            for (number,) in found:
                with suppress(pymysql.Error):
                    server.administer(f"KILL {how} {number}")
            time.sleep(0.005)

    def restart() -> None:
        server.stop()
        server.start()

    fill(truth)
    fault = chance.choice(["terminated", "cancelled", "restarted", "changed", "time", "renamed"])
    actions: dict[str, Callable[[], None]] = {
        "terminated": lambda: end("CONNECTION"),
        "cancelled": lambda: end("QUERY"),
        "restarted": restart,
        "changed": lambda: fill(other),
    }
    slow = f"SELECT {_COLUMNS} FROM visits WHERE month = :partition AND SLEEP(0.004) = 0"  # noqa: S608  ours
    options: dict[str, Any] = {"query": slow, "timeout_seconds": 0.02 if fault == "time" else 20.0}
    if fault == "renamed":
        database.run(f"ALTER TABLE visits RENAME COLUMN {chance.choice(NAMES)} TO other")
    os.environ["MARIADB_PASSWORD"] = database.password
    place = MySql(
        host=database.host,
        port=database.port,
        database=database.name,
        user=database.name,
        password=Secret(env="MARIADB_PASSWORD"),
    )
    source = SqlSource(contract=contract(chance), database=place, **options)

    def heal() -> None:
        _create_in_mariadb(database)
        fill(truth)

    action = actions.get(fault)
    yield Case(
        fault=fault,
        source=source,
        healed=source.model_copy(update={"timeout_seconds": 20.0}),
        accepted=[truth, other] if fault == "changed" else [truth],
        truth=truth,
        heal=heal,
        private=visits.words_of(given),
        secrets=(database.password,),
        around=meanwhile(chance, action, 0.2) if action else nullcontext(),
    )


def _as_text(value: Any) -> Any:  # noqa: ANN401  of any type
    if isinstance(value, bool):
        return str(value).lower()
    return value.strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, dt.datetime) else value


def _create_in_mariadb(database: MariaDatabase) -> None:
    database.run(
        "DROP TABLE IF EXISTS visits",
        "CREATE TABLE visits (month varchar(7), visit bigint, who text CHARACTER SET utf8mb4, day date, "
        "at datetime(6), seen timestamp(6) NULL, amount double, price decimal(12, 2), small smallint, paid varchar(5))",
    )


@contextmanager
def _mariadb() -> Iterator[MariaServer]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(mariadb.running_server())
        except subprocess.CalledProcessError:
            # Its own set-up crashes now and then.
            server = stack.enter_context(mariadb.running_server())
        yield server


@contextmanager
def _of_mariadb(server: MariaServer) -> Iterator[MariaDatabase]:
    database = server.create_database()
    _create_in_mariadb(database)
    yield database
