"""Certificates of the service's tests: one authority for servers, one for clients, and files of what they issue.

Put here what several tests sign in with. Keep out what a service does with it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from mlops_assets.deployment.certificates import LIFETIME, Authority, Purpose

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from mlops_assets.deployment.certificates import Issued

NAMES = ("localhost", "127.0.0.1")


class Office:
    """Issues certificates into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.servers = Authority.create("test servers")
        self.clients = Authority.create("test clients")

    @cached_property
    def server_authority(self) -> Path:
        return self.write("servers.crt", self.servers.certificate_pem)

    @cached_property
    def client_authority(self) -> Path:
        return self.write("clients.crt", self.clients.certificate_pem)

    def server(self, *, lifetime: timedelta = LIFETIME, purpose: Purpose = Purpose.SERVER) -> tuple[Path, Path]:
        """Certificate and key of the server; the files are replaced when it is called again."""
        return self.files("server", self.servers.issue(NAMES, purpose, lifetime=lifetime))

    def client(self, name: str, *, authority: Authority | None = None) -> tuple[Path, Path]:
        """Certificate and key of a client."""
        return self.files(name, (authority or self.clients).issue([name], Purpose.CLIENT))

    def files(self, name: str, issued: Issued) -> tuple[Path, Path]:
        return (
            self.write(f"{name}.crt", issued.certificate_pem),
            self.write(f"{name}.key", issued.key_pem),
        )

    def write(self, name: str, content: bytes) -> Path:
        file = self._folder / name
        staged = self._folder / f"{name}.new"
        staged.write_bytes(content)
        staged.chmod(0o600)
        return staged.replace(file)
