"""The folder of a deployment's secrets: a folder for each reader, closed to others, and its files replaced whole.

Put here how the files are kept. Keep out which there are (``secrets``, ``people``).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mlops_assets.deployment.certificates import Authority, is_due
from mlops_assets.platform.durable_files import replace_durably, taking_turns
from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AUTHORITY: Final = "authority"
"""Name of the folder that nobody but the secrets' maker reads."""

FILE_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700
_OTHERS: Final = 0o077


class SecretsError(PlatformError):
    """The folder of the secrets cannot be used."""


class SecretFiles:
    """The folder, and what was written into it so far.

    Attributes:
        folder: the folder (0700); each reader's folder is in it (0700, its files 0600).
        written: the files made or renewed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: set[Path] = set()

    def exist(self) -> bool:
        """Whether there are secrets already."""
        return (self.folder / AUTHORITY / "services.pem").exists()

    def demand(self) -> None:
        """Refuse a folder without secrets.

        Raises:
            SecretsError: it holds none.
        """
        if not self.exist():
            raise SecretsError(
                source=f"Secrets folder {self.folder}",
                culprit="it holds no secrets.",
                remedy="Make them first: mlops-assets secrets create.",
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, so that two commands change it one after the other.

        Raises:
            SecretsError: others than its owner may enter it, or it cannot be read or written.
        """
        try:
            self.folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            if self.folder.stat().st_mode & _OTHERS:
                raise SecretsError(
                    source=f"Secrets folder {self.folder}",
                    culprit="others than its owner may enter it.",
                    remedy="Set its mode to 0700, and rotate what was in it.",
                )
            with taking_turns(self.reader(AUTHORITY)):
                yield
        except OSError as error:
            raise SecretsError(
                source=f"Secrets folder {self.folder}",
                culprit=f"{error.filename or 'it'} cannot be read or written ({error.strerror}).",
                remedy="Run as the owner of the folder, and leave room on its disk.",
            ) from error

    def reader(self, reader: str) -> Path:
        """The folder of that reader."""
        folder = self.folder / reader
        folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        # A volume mounted here brings a mode of its own.
        folder.chmod(_FOLDER_MODE)
        return folder

    def write(self, reader: str, name: str, content: bytes) -> None:
        """Put the content at that name, unless it is there already."""
        file = self.reader(reader) / name
        if not file.exists() or file.read_bytes() != content:
            replace_durably(file, content, mode=FILE_MODE)
            self.written.add(file)

    def authority(self, name: str) -> Authority:
        """The authority of that name; made when missing or about to end.

        Raises:
            SecretsError: its file is damaged. A new one would shut out everybody whom it let in.
        """
        file = self.reader(AUTHORITY) / f"{name}.pem"
        try:
            if not file.exists() or is_due(file.read_bytes()):
                # Key and certificate in one file: whoever is killed here leaves both or neither.
                self.write(AUTHORITY, file.name, Authority.create(f"mlops-assets {name}").pem)
            return Authority.read(file.read_bytes())
        except (ValueError, TypeError) as error:
            raise SecretsError(
                source=str(file),
                culprit="it is no authority's key and certificate.",
                remedy="Restore it from a backup, or make new ones: mlops-assets secrets rotate --part authorities.",
            ) from error
