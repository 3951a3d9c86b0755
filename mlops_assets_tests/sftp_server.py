"""A private SFTP server for tests (OpenSSH), on a loopback port, under an unprivileged account.

Put here how the server is started and whom it lets in. Keep out what any test reads from it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from mlops_assets.demo.live import free_port
from mlops_assets.demo.waiting import wait_for_process, wait_until
from mlops_assets_tests.postgres import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Iterator

# With PAM, since without it the server takes accounts that have no password for locked.
_CONFIGURATION: Final = """
ListenAddress 127.0.0.1
PidFile none
StrictModes no
UsePAM yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
ForceCommand internal-sftp
Subsystem sftp internal-sftp
"""


class SftpServer:
    """A server with one account, which logs in with a key.

    Attributes:
        account: name of it.
        key: text of its private key.
        exports: folder that it can read.
        port: the same every time that it is started.
        known_hosts: file with the server's first host key.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self.account = self._owner.pw_name
        self.port = free_port()
        self.exports = folder / "exports"
        self.exports.mkdir()
        self.known_hosts = folder / "known_hosts"
        folder.chmod(0o755)
        self.key, public = new_key()
        self._write("authorized_keys", public)
        self._write("sshd_config", f"{_CONFIGURATION}Port {self.port}\nHostKey {folder / 'host_key'}\n"
                    f"AuthorizedKeysFile {folder / 'authorized_keys'}\n")  # fmt: skip
        self.known_hosts.write_text(f"{self.name} {self.change_host_key()}", encoding="utf-8")

    @property
    def name(self) -> str:
        """Of the server, in files of known hosts."""
        return f"[127.0.0.1]:{self.port}"

    @property
    def address(self) -> str:
        """Of the exports."""
        return f"sftp://{self.account}@127.0.0.1:{self.port}{self.exports}"

    def change_host_key(self, algorithm: str = "ssh-ed25519") -> str:
        """Give the server another key, for when it is started next; returns its public part."""
        private, public = new_key(algorithm)
        self.set_host_key(private)
        return public

    def host_key(self) -> str:
        """The text of its private host key."""
        return (self._folder / "host_key").read_text(encoding="utf-8")

    def set_host_key(self, private: str) -> None:
        """Give the server that key, for when it is started next."""
        self._write("host_key", private)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        account: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}
        log = self._folder / "server.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [self._program, "-D", "-e", "-f", str(self._folder / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                **account,
            )
        wait_for_process(self._answers, self._process, name="sshd", log=log, telling=lambda _: False, pause=0.05)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def wait_for_end_of_sessions(self) -> None:
        """Wait until the server serves nobody.

        Raises:
            StalledError: somebody stays connected.
        """
        process = self._process
        assert process is not None
        wait_until(
            lambda processes: not processes,
            lambda: _below(process.pid),
            what="Sessions of sshd",
            remedy="Close the connection.",
        )

    def kill(self) -> None:
        """End the server and its sessions at once; connections break."""
        if self._process is None:
            return
        sessions = _below(self._process.pid)
        self._process.kill()
        self._process.wait()
        self._process = None
        for pid in sessions:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _write(self, name: str, content: str) -> None:
        file = self._folder / name
        file.touch(mode=0o600)
        file.write_text(content, encoding="utf-8")
        os.chown(file, self._owner.pw_uid, self._owner.pw_gid)


def locked(private: str, passphrase: str) -> str:
    """The key under a passphrase."""
    import asyncssh  # noqa: PLC0415  an extra

    return asyncssh.import_private_key(private).export_private_key("pkcs8-pem", passphrase).decode()


@contextmanager
def server_with_password(password: str) -> Iterator[tuple[int, str]]:
    """Another server, which takes everybody with that password: its port and its public host key.

    An unprivileged sshd cannot check passwords.
    """
    import asyncssh  # noqa: PLC0415  an extra

    class Door(asyncssh.SSHServer):
        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, given: str) -> bool:
            return bool(username) and given == password

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    key = asyncssh.generate_private_key("ssh-ed25519")

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen("127.0.0.1", 0, server_factory=Door, server_host_keys=[key], sftp_factory=True)

    try:
        listener = asyncio.run_coroutine_threadsafe(listen(), loop).result()
        yield listener.get_port(), key.export_public_key().decode()
        loop.call_soon_threadsafe(listener.close)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def new_key(algorithm: str = "ssh-ed25519") -> tuple[str, str]:
    """The text of a fresh private key, and the line of its public one."""
    import asyncssh  # noqa: PLC0415  an extra

    made = asyncssh.generate_private_key(algorithm)
    return made.export_private_key().decode(), made.export_public_key().decode()


def _below(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    try:
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except OSError:
        return []
    return [each for child in children for each in (child, *_below(child))]


@contextmanager
def running_sftp_server() -> Iterator[SftpServer]:
    """A fresh server, ended and removed at the end; skips the test if what it takes is missing."""
    found = shutil.which("sshd", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if found is None or importlib.util.find_spec("sshfs") is None:
        message = "OpenSSH's server (sshd) or sshfs is not installed"
        if "sftp" in os.environ.get(REQUIRED, "").split(","):
            pytest.fail(message)
        pytest.skip(message)
    folder = Path(tempfile.mkdtemp(prefix="mlops-assets-sftp-"))
    server = SftpServer(found, folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
