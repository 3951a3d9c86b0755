"""Servers over SFTP: a connection to a host whose key is known, with the declared account and no other.

Put here how such a server is trusted and logged in to. Keep out how files are listed and opened (``places``).

fsspec's own implementations trust whoever answers at the address. Here ``known_hosts`` says which key the host has, in
the format and by the rules of OpenSSH.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import asyncssh
from sshfs import SSHFileSystem

from mlops_assets.platform.errors import SettingsError, SourceError

_PORT: Final = 22
_SECONDS: Final = 30
_ALIVE_SECONDS: Final = 15
_REQUESTS: Final = 16


class Sftp(SSHFileSystem):  # type: ignore[misc]  # which has no types
    """fsspec's file system of one connection.

    Args:
        host: name or address of the server.
        port: of the server.
        known_hosts: file with the keys of hosts, as ``ssh-keyscan`` prints them; the account's own by default.
        private_key: text of the key to log in with.
        passphrase: of that key.
        options: others of ``asyncssh.connect``, such as ``username`` and ``password``.

    Raises:
        SettingsError: a file or key cannot be read, or the server refuses the account.
        SourceError: the host has another key than the known one, or none is known.
    """

    cachable = False

    def __init__(
        self,
        host: str,
        *,
        port: int | str = _PORT,
        known_hosts: str | None = None,
        private_key: str | None = None,
        passphrase: str | None = None,
        **options: Any,  # noqa: ANN401  of fsspec and asyncssh
    ) -> None:
        server = f"Server {host}"
        options.pop("use_listings_cache", None)
        known = _known_hosts(Path(known_hosts or "~/.ssh/known_hosts").expanduser(), server)
        given = {
            # A connection that is silent for three times as long is lost.
            "keepalive_interval": _ALIVE_SECONDS,
            "connect_timeout": _SECONDS,
            "login_timeout": _SECONDS,
            # Names of files that are not UTF-8 do not keep the others from being listed.
            "sftp_client_kwargs": {"path_errors": "replace"},
            **options,
            "port": int(port),
            "known_hosts": known,
            "client_keys": [_private_key(private_key, passphrase, server)] if private_key else None,
            # So that a key of another kind is told from no answer.
            "server_host_key_algs": "+ssh-ed25519,ecdsa-sha2-*,rsa-sha2-*",
            # Nothing that the account of this machine has beside what is declared.
            "config": None,
            "agent_path": None,
            "gss_host": None,
        }
        try:
            super().__init__(host, **given)
        except asyncssh.HostKeyNotVerifiable:
            raise _untrusted(server, known, host, int(port)) from None
        except PermissionError:
            raise SettingsError(
                source=server,
                culprit="it refuses the account, its password or its key.",
                remedy="Correct the address, or the secrets password or private_key beside it.",
            ) from None

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:  # noqa: ANN401  of fsspec
        # The size of a block is for the server to say. asyncssh logs each request that a lost connection leaves open.
        return super()._open(path, mode, max_requests=_REQUESTS)

    def close(self) -> None:
        """End the connection, from any thread; what is not read yet is lost."""
        self.loop.call_soon_threadsafe(self.client.close)


def _known_hosts(file: Path, server: str) -> asyncssh.SSHKnownHosts:
    try:
        return asyncssh.import_known_hosts(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            source=server,
            culprit=f"the keys of known hosts cannot be read from {file} ({type(error).__name__}).",
            remedy="Put the host's key there, as ssh-keyscan prints it, or name the file with the option known_hosts.",
        ) from None


def _private_key(text: str, passphrase: str | None, server: str) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(text, passphrase)
    except ValueError as error:
        raise SettingsError(
            source=server,
            culprit=f"the private key to log in with cannot be read ({type(error).__name__}).",
            remedy="Give the whole text of the key's file as the secret private_key, and its passphrase if it has one.",
        ) from None


def _untrusted(server: str, known: asyncssh.SSHKnownHosts, host: str, port: int) -> SourceError:
    if any(known.match(host, "", None if port == _PORT else port)):
        return SourceError(
            source=server,
            culprit="its host key is not the one that is known: it was set up anew, or another answers in its place.",
            remedy="Ask its owner for the key; only if it is the new one, put it into known_hosts.",
        )
    return SourceError(
        source=server,
        culprit="its host key is not known, so anybody could answer in its place.",
        remedy="Ask its owner for the key, compare it with what ssh-keyscan prints, and put that into known_hosts.",
    )
