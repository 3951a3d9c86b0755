"""A private MariaDB server for tests, on a loopback port, with passwords as in production.

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
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pymysql
import pytest

from mlops_assets.demo.live import free_port
from mlops_assets.demo.waiting import wait_for_process
from mlops_assets.deployment.certificates import Authority, Purpose
from mlops_assets_tests.postgres import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ADMINISTRATOR: Final = "administrator"
_AUTHORITY: Final = Authority.create("MariaDB of the tests")
_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


@dataclass(frozen=True, kw_only=True)
class MariaDatabase:
    """An empty database and the account that owns it.

    Attributes:
        host: where its server listens.
        port: likewise.
        name: of the database, and of the account.
        password: password of the account.
    """

    host: str
    port: int
    name: str
    password: str = field(repr=False)

    def run(self, *statements: str, rows: Sequence[Sequence[object]] = ()) -> None:
        """Run statements in one transaction; the last one once for each row if rows are given."""
        with (
            closing(
                pymysql.connect(
                    host=self.host, port=self.port, user=self.name, password=self.password, database=self.name
                )
            ) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements[:-1] if rows else statements:
                cursor.execute(statement)
            if rows:
                cursor.executemany(statements[-1], rows)
            connection.commit()


class MariaServer:
    """A server of its own, which asks for passwords and writes below one folder alone; it has a certificate.

    Args:
        folder: for its data; the account that it runs under owns it.
        install: program that makes a server's files.
        server: program of the server.
        account: what a command starts with to run under an unprivileged account; empty if the tests do themselves.
    """

    host: Final = "127.0.0.1"
    ca_pem: Final = _AUTHORITY.certificate_pem

    def __init__(self, folder: Path, install: str, server: str, account: Sequence[str]) -> None:
        self._folder = folder
        self._install = install
        self._server = server
        self._account = account
        self._password = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    def create(self) -> None:
        """Make the server's files.

        Raises:
            CalledProcessError: ``mariadb-install-db`` failed; its output is in the test's output.
        """
        subprocess.run(
            [*self._account, self._install, "--no-defaults", f"--datadir={self._folder / 'data'}", "--skip-test-db",
             "--auth-root-authentication-method=normal", "--innodb-buffer-pool-size=16M"],
            stdout=subprocess.DEVNULL,
            check=True,
            cwd=self._folder,
        )  # fmt: skip
        issued = _AUTHORITY.issue([self.host], Purpose.SERVER)
        self._write("server.pem", issued.certificate_pem.decode())
        self._write("server.key", issued.key_pem.decode())
        self._write(
            "first.sql",
            f"ALTER USER root@localhost IDENTIFIED BY '{secrets.token_urlsafe(24)}';\n"
            f"CREATE OR REPLACE USER {_ADMINISTRATOR}@'%' IDENTIFIED BY '{self._password}';\n"
            f"GRANT ALL ON *.* TO {_ADMINISTRATOR}@'%' WITH GRANT OPTION;\n",
        )

    def _write(self, name: str, text: str) -> None:
        file = self._folder / name
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
        owner = self._folder.stat()
        os.chown(file, owner.st_uid, owner.st_gid)

    def start(self) -> None:
        """Start the server, at the same port every time, and wait until it answers."""
        log = self._folder / "server.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [*self._account, self._server, "--no-defaults", f"--datadir={self._folder / 'data'}",
                 f"--port={self.port}", f"--bind-address={self.host}", f"--socket={self._folder / 'socket'}",
                 f"--pid-file={self._pid_file}", f"--init-file={self._folder / 'first.sql'}", "--skip-name-resolve",
                 "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0",
                 "--character-set-server=utf8mb4", f"--ssl-cert={self._folder / 'server.pem'}",
                 f"--ssl-key={self._folder / 'server.key'}"],
                stdout=subprocess.DEVNULL,
                stderr=out,
                cwd=self._folder,
            )  # fmt: skip
        wait_for_process(self._answers, self._process, name="mariadbd", log=log, pause=0.05)

    @property
    def _pid_file(self) -> Path:
        return self._folder / "server.pid"

    def _answers(self) -> bool:
        try:
            self.administer()
        except pymysql.err.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Kill the server at once; connections break."""
        if self._process is None:
            return
        if self._pid_file.exists():
            os.kill(int(self._pid_file.read_text(encoding="ascii")), signal.SIGKILL)
            self._pid_file.unlink()
        self._process.wait()
        self._process = None

    def administer(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run the administrator's statements; returns the rows of the last one."""
        with (
            closing(
                pymysql.connect(host=self.host, port=self.port, user=_ADMINISTRATOR, password=self._password)
            ) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def create_database(self) -> MariaDatabase:
        """An empty database with an account of its own that owns it."""
        name, password = f"test_{secrets.token_hex(4)}", secrets.token_urlsafe(24)
        self.administer(
            f"CREATE DATABASE {name}",
            f"CREATE USER {name}@'%' IDENTIFIED BY '{password}'",
            f"GRANT ALL ON {name}.* TO {name}@'%'",
        )
        return MariaDatabase(host=self.host, port=self.port, name=name, password=password)


@contextmanager
def running_server() -> Iterator[MariaServer]:
    """A fresh server, ended and removed at the end; skips the test if MariaDB's programs are missing."""
    install, program = _program("mariadb-install-db"), _program("mariadbd")
    account = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="mlops-assets-mariadb-"))
    try:
        if account:
            owner = pwd.getpwnam(account[2])
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        server = MariaServer(folder, install, program, account)
        server.create()
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    if found is not None:
        return found
    message = f"MariaDB's server program {name} is not installed"
    if "mariadb" in os.environ.get(REQUIRED, "").split(","):
        pytest.fail(message)
    pytest.skip(message)


def _unprivileged() -> list[str]:
    """MariaDB refuses to run as root."""
    if os.geteuid() != 0:
        return []
    names = {entry.pw_name for entry in pwd.getpwall()}
    return ["runuser", "-u", "mysql" if "mysql" in names else "nobody", "--"]
