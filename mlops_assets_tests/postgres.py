"""A private PostgreSQL server for tests, on a loopback port, with passwords as in production.

Put here how the server is started and databases are made on it. Keep out what any test stores there.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg2
import psycopg2.extensions
import pytest
from psycopg2 import sql

from mlops_assets.demo.live import free_port
from mlops_assets.demo.waiting import wait_for_process

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REQUIRED: Final = "MLOPS_ASSETS_TEST_REQUIRE"
"""Names, separated by commas, what must be tested here: a missing one fails instead of skipping."""

_STANDBY: Final = sql.SQL("ALTER SYSTEM SET synchronous_standby_names = {}")
_RELOAD: Final = sql.SQL("SELECT pg_reload_conf()")
_ANY_WRITE: Final = sql.SQL("COMMENT ON DATABASE postgres IS 'written'")


@dataclass(frozen=True, kw_only=True)
class PostgresDatabase:
    """An empty database and the account that owns it.

    Attributes:
        dsn: libpq connection string without the password.
        password: password of the account.
    """

    dsn: str
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """The database and its account, with the password, as SQLAlchemy takes it."""
        parts = psycopg2.extensions.parse_dsn(self.dsn)
        place = f"{parts['host']}:{parts['port']}/{parts['dbname']}"
        return f"postgresql+psycopg2://{parts['user']}:{self.password}@{place}"

    def sessions(self) -> set[int]:
        """Process ids of the server's sessions on the database, without the one that asks."""
        with closing(psycopg2.connect(self.dsn, password=self.password)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            return {int(pid) for (pid,) in cursor.fetchall()}

    def run(self, statement: str, rows: Sequence[Sequence[object]] = ()) -> None:
        """Run a statement in a transaction of its own, once for each row if rows are given."""
        with (
            closing(psycopg2.connect(self.dsn, password=self.password)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            if rows:
                cursor.executemany(statement, rows)
            else:
                cursor.execute(statement)


class PostgresServer:
    """A server of its own, with scram-sha-256 passwords on TCP and nothing else open.

    Args:
        folder: for its data; the account that it runs under owns it.
        programs: folder of ``initdb`` and ``postgres``.
        account: what a command starts with to run under an unprivileged account; empty if the tests do themselves.
    """

    host: Final = "127.0.0.1"

    def __init__(self, folder: Path, programs: Path, account: Sequence[str]) -> None:
        self._folder = folder
        self._programs = programs
        self._account = account
        self._password = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    def create(self) -> None:
        """Make the server's files.

        Raises:
            CalledProcessError: ``initdb`` failed; its output is in the test's output.
        """
        password_file = self._folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password, encoding="utf-8")
        owner = self._folder.stat()
        os.chown(password_file, owner.st_uid, owner.st_gid)
        subprocess.run(
            [*self._account, str(self._programs / "initdb"), "--pgdata", str(self._folder / "data"),
             "--username", "postgres", "--auth", "scram-sha-256", "--pwfile", str(password_file),
             "--encoding", "UTF8", "--locale", "C", "--no-sync"],
            stdout=subprocess.DEVNULL,
            check=True,
            cwd=self._folder,
        )  # fmt: skip
        password_file.unlink()

    def start(self) -> None:
        """Start the server, at the same port every time, and wait until it answers."""
        log = self._folder / "server.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [*self._account, str(self._programs / "postgres"), "-D", str(self._folder / "data"),
                 "-p", str(self.port), "-c", f"listen_addresses={self.host}",
                 "-c", f"unix_socket_directories={self._folder}", "-c", "fsync=off", "-c", "logging_collector=off"],
                stdout=subprocess.DEVNULL,
                stderr=out,
                cwd=self._folder,
            )  # fmt: skip
        wait_for_process(
            self._answers,
            self._process,
            name="postgres",
            log=log,
            # So it turns away who asks while it starts.
            telling=lambda line: "the database system is starting up" not in line,
            pause=0.05,
        )

    def _answers(self) -> bool:
        try:
            psycopg2.connect(host=self.host, port=self.port, user="postgres", password=self._password).close()
        except psycopg2.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """End the server at once; connections break."""
        if self._process is None:
            return
        pid_file = self._folder / "data" / "postmaster.pid"
        if pid_file.exists():
            os.kill(int(pid_file.read_text(encoding="ascii").splitlines()[0]), signal.SIGQUIT)
        self._process.wait()
        self._process = None

    def create_database(self, prefix: str = "test") -> PostgresDatabase:
        """An empty database with an account of its own that owns it."""
        name, password = f"{prefix}_{secrets.token_hex(4)}", secrets.token_urlsafe(24)
        self._administer(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(password)),
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(name)),
        )
        return PostgresDatabase(dsn=f"host={self.host} port={self.port} dbname={name} user={name}", password=password)

    @contextmanager
    def holding_commits(self) -> Iterator[None]:
        """While the block runs, a COMMIT is written but waits for a standby, and nobody sees it until it is let go.

        So do commits where a standby is slow. That their client ends or is cut off does not end them.
        """
        with ThreadPoolExecutor(max_workers=1) as pool:
            self._administer(_STANDBY.format(sql.Literal("nobody")), _RELOAD)
            try:
                # The server takes the setting over at its leisure: a commit of ours shows when it has.
                probe = pool.submit(self._administer, _ANY_WRITE)
                while not self._waiting("SyncRep", of_tests=False):
                    if probe.done():
                        probe = pool.submit(self._administer, _ANY_WRITE)
                    time.sleep(0.05)
                yield
            finally:
                self._administer(_STANDBY.format(sql.Literal("")), _RELOAD)

    def held_commits(self) -> int:
        """How many sessions of the databases made here wait in a COMMIT that is held."""
        return self._waiting("SyncRep")

    def awaited_locks(self) -> int:
        """How many of them wait for a lock or a transaction of another session."""
        return self._waiting("advisory", "relation", "transactionid")

    def _waiting(self, *events: str, of_tests: bool = True) -> int:
        [(number,)] = self._administer(
            sql.SQL(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event IN ({}) AND (datname <> 'postgres') = {}"
            ).format(sql.SQL(", ").join(map(sql.Literal, events)), sql.Literal(of_tests))
        )
        return int(number)

    def _administer(self, *statements: sql.Composable) -> list[tuple[Any, ...]]:
        """Run the superuser's statements, each a transaction of its own; returns the rows of the last one."""
        dsn = f"host={self.host} port={self.port} dbname=postgres user=postgres"
        with closing(psycopg2.connect(dsn, password=self._password)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """A fresh server, ended and removed at the end; skips the test if PostgreSQL's programs are missing."""
    programs = _programs()
    account = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="mlops-assets-postgres-"))
    try:
        if account:
            owner = pwd.getpwnam(account[2])
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        server = PostgresServer(folder, programs, account)
        server.create()
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    message = "PostgreSQL's server programs (initdb, postgres) are not installed"
    if "postgres" in os.environ.get(REQUIRED, "").split(","):
        pytest.fail(message)
    pytest.skip(message)


def _unprivileged() -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    names = {entry.pw_name for entry in pwd.getpwall()}
    return ["runuser", "-u", "postgres" if "postgres" in names else "nobody", "--"]
