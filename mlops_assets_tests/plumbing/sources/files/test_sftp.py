"""Tests of files on a server over SFTP, against OpenSSH's and, for passwords, asyncssh's."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from mlops_assets.platform.errors import SettingsError, SourceError, SourceUnavailableError
from mlops_assets.plumbing.sources.files.places import Place
from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Checksum, Quiet
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets_tests.plumbing.sources.remote import GOOD, LARGE, ROW, asked, in_mid_copy, look
from mlops_assets_tests.plumbing.sources.shop import SALES, rows, run
from mlops_assets_tests.sftp_server import locked, new_key, running_sftp_server, server_with_password

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets_tests.sftp_server import SftpServer

pytestmark = pytest.mark.sftp


@pytest.fixture(scope="module")
def running() -> Iterator[SftpServer]:
    with running_sftp_server() as server:
        yield server


@pytest.fixture
def server(running: SftpServer, monkeypatch: pytest.MonkeyPatch) -> SftpServer:
    """The server with the file of January, and its key in the environment."""
    monkeypatch.setenv("EXPORTS_KEY", running.key)
    for file in running.exports.iterdir():
        file.unlink()
    deliver(running, GOOD)
    return running


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def deliver(server: SftpServer, content: str, name: str = "2024-01.csv", *, at: float = 1_700_000_000) -> None:
    file = server.exports / name
    file.write_text(content, encoding="utf-8")
    os.utime(file, (at, at))


def sales(server: SftpServer, **options: Any) -> FileSource:  # noqa: ANN401  a declaration's
    given: dict[str, Any] = {
        "path": server.address,
        "file": "{month}.csv",
        "options": {"known_hosts": str(server.known_hosts)},
        "secrets": {"private_key": Secret(env="EXPORTS_KEY")},
        "whole": Quiet(seconds=0),
        "retries": 0,
        **options,
    }
    return FileSource(contract=SALES, **given)


def place(server: SftpServer, **options: Any) -> Place:  # noqa: ANN401  of asyncssh
    given = {"known_hosts": str(server.known_hosts), "private_key": server.key, **options}
    return Place.at(server.address, given)


@contextmanager
def with_another_key(server: SftpServer, algorithm: str = "ssh-ed25519") -> Iterator[None]:
    """The server as if it were another one; what it was at the end."""
    server.kill()
    before = server.host_key()
    server.change_host_key(algorithm)
    server.start()
    try:
        yield
    finally:
        server.kill()
        server.set_host_key(before)
        server.start()


class TestWhatIsRead:
    def test_a_file_becomes_rows(self, server: SftpServer) -> None:
        done = run(sales(server))
        assert done.success, done.told
        assert rows() == [ROW]

    def test_it_is_whole_by_a_checksum_beside_it(self, server: SftpServer) -> None:
        assert "2024-01.csv.sha256" in run(sales(server, whole=Checksum())).told

    @pytest.mark.parametrize("name", ["süß ä", "a+b c%20d", "[1]*?", "a#b&c=d", "q'\"<>", "a::b", "back\\slash"])
    def test_a_name_is_taken_as_it_is(self, server: SftpServer, name: str) -> None:
        deliver(server, GOOD, f"{name}.csv")
        source = sales(server, file=f"{name}.csv")
        here = place(server)
        assert list(here.matching(source.patterns())) == [f"{server.exports}/{name}.csv"]
        assert here.start_of(here.path(source.file), 1000) == GOOD.encode()

    def test_a_name_that_is_not_utf_8_does_not_hide_the_others(self, server: SftpServer) -> None:
        (server.exports / os.fsdecode(b"\xff.csv")).write_text(GOOD)
        assert len(list(place(server).matching(sales(server, file="{partition}.csv").patterns()))) == 2

    def test_the_sensor_notices_a_new_file_and_a_replaced_one(
        self, server: SftpServer, instance: dg.DagsterInstance
    ) -> None:
        source = sales(server)
        assert asked(source, instance) == ["2024-01"]
        assert run(source, instance=instance).success
        assert asked(source, instance) == []
        deliver(server, GOOD.replace("2024-01", "2024-02"), "2024-02.csv")
        assert asked(source, instance) == ["2024-02"]
        deliver(server, GOOD.replace("1.5", "2.5"), at=1_700_000_001)
        assert run(source, "2024-02", instance=instance).success
        assert asked(source, instance) == ["2024-01"]

    def test_no_connection_of_a_look_is_left(self, server: SftpServer) -> None:
        for _ in range(20):
            place(server).info(f"{server.exports}/2024-01.csv")
        server.wait_for_end_of_sessions()


class TestTheHost:
    def test_is_refused_where_no_key_of_it_is_known(self, server: SftpServer, tmp_path: Path) -> None:
        known = tmp_path / "known_hosts"
        known.write_text(f"elsewhere.example.org {new_key()[1]}")
        told = run(sales(server, options={"known_hosts": str(known)})).told
        assert "Server 127.0.0.1: its host key is not known" in told

    def test_is_refused_where_the_file_of_known_hosts_is_empty(self, server: SftpServer, tmp_path: Path) -> None:
        known = tmp_path / "known_hosts"
        known.touch()
        with pytest.raises(SourceError, match="its host key is not known"):
            place(server, known_hosts=str(known)).info("/")

    def test_is_known_by_the_accounts_own_file_unless_another_is_named(
        self, server: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(SettingsError, match="the keys of known hosts cannot be read from"):
            place(server, known_hosts=None).info("/")
        (tmp_path / ".ssh").mkdir()
        (tmp_path / ".ssh" / "known_hosts").write_text(server.known_hosts.read_text())
        assert place(server, known_hosts=None).info(f"{server.exports}/2024-01.csv").size == len(GOOD)

    @pytest.mark.parametrize("algorithm", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
    def test_is_refused_where_its_key_has_changed(self, server: SftpServer, algorithm: str) -> None:
        with with_another_key(server, algorithm):
            told = run(sales(server)).told
        assert "Server 127.0.0.1: its host key is not the one that is known" in told
        assert run(sales(server)).success

    def test_is_refused_where_its_key_is_revoked(self, server: SftpServer, tmp_path: Path) -> None:
        known = tmp_path / "known_hosts"
        entry = server.known_hosts.read_text()
        known.write_text(f"{entry}\n@revoked * {entry.partition(' ')[2]}")
        with pytest.raises(SourceError, match="not the one that is known"):
            place(server, known_hosts=str(known)).info("/")


class TestTheAccount:
    def test_is_refused_with_another_key(self, server: SftpServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EXPORTS_KEY", new_key()[0])
        assert "Server 127.0.0.1: it refuses the account, its password or its key." in run(sales(server)).told

    def test_is_refused_with_a_wrong_password(self, server: SftpServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EXPORTS_PASSWORD", "not the password")
        told = run(sales(server, secrets={"password": Secret(env="EXPORTS_PASSWORD")})).told
        assert "Server 127.0.0.1: it refuses the account, its password or its key." in told
        assert "not the password" not in told

    def test_has_a_key_that_can_be_read(self, server: SftpServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EXPORTS_KEY", "no key")
        told = run(sales(server)).told
        assert "the private key to log in with cannot be read (KeyImportError)" in told
        assert "no key" not in told

    def test_may_have_a_key_with_a_passphrase(self, server: SftpServer) -> None:
        key = locked(server.key, "geheim")
        here = place(server, private_key=key, passphrase="geheim")  # noqa: S106
        assert here.info(f"{server.exports}/2024-01.csv").size == len(GOOD)
        with pytest.raises(SettingsError, match="the private key to log in with cannot be read"):
            place(server, private_key=key, passphrase="another").info("/")  # noqa: S106

    def test_of_this_machine_is_not_tried(
        self, server: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".ssh").mkdir()
        (tmp_path / ".ssh" / "id_ed25519").write_text(server.key)
        (tmp_path / ".ssh" / "config").write_text(f"IdentityFile {tmp_path}/.ssh/id_ed25519\n")
        with pytest.raises(SettingsError, match="refuses the account"):
            place(server, private_key=None).info("/")

    def test_may_have_a_password(self, server: SftpServer, tmp_path: Path) -> None:  # noqa: ARG002  whose parts it needs
        (tmp_path / "file").write_text("four")
        known = tmp_path / "known_hosts"
        with server_with_password("right") as (port, host_key):
            known.write_text(f"[127.0.0.1]:{port} {host_key}")
            address, given = f"sftp://somebody@127.0.0.1:{port}{tmp_path}", {"known_hosts": str(known)}
            assert Place.at(address, {**given, "password": "right"}).info(f"{tmp_path}/file").size == 4
            with pytest.raises(SettingsError, match="refuses the account"):
                Place.at(address, {**given, "password": "wrong"}).info(f"{tmp_path}/file")


class TestWhatIsRefused:
    def test_an_option_that_it_does_not_know(self, server: SftpServer) -> None:
        with pytest.raises(SettingsError, match="Correct the options beside the address"):
            place(server, passwrod="x").info("/")

    def test_a_file_that_the_account_may_not_read(self, server: SftpServer) -> None:
        (server.exports / "2024-01.csv").chmod(0)
        assert "File 2024-01.csv at sftp://127.0.0.1" in (told := run(sales(server)).told)
        assert "it cannot be read (SFTPPermissionDenied)" in told

    def test_a_server_that_is_down(self, server: SftpServer, instance: dg.DagsterInstance, unused_port: int) -> None:
        source = sales(server, path=f"sftp://127.0.0.1:{unused_port}/exports")
        assert "File 2024-01.csv" in (told := run(source).told)
        assert "it cannot be read (Connection refused)" in told
        assert "it cannot be read (Connection refused)" in str(look(source, instance).skip_reason)

    def test_a_server_that_ends_in_mid_read(self, server: SftpServer, tmp_path: Path) -> None:
        (server.exports / "zeros").write_bytes(LARGE)
        here = place(server)
        try:
            with (
                in_mid_copy(tmp_path / "copy", server.kill),
                pytest.raises(SourceUnavailableError, match=r"File zeros at sftp://127.0.0.1\S*: it cannot be read"),
            ):
                here.copied(here.path("zeros"), tmp_path / "copy")
        finally:
            server.start()
