"""Surroundings of a demonstration: a home folder with secrets and an embedded Dagster instance, and child processes.

Put here what an operator would otherwise set up. Keep out what is then run in them.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.settings import PREFIX, SECRETS_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_STOP_SECONDS: Final = 15.0
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOCATIONS: Final = ("plumbing", "wrangling", "modeling")


@dataclass(frozen=True)
class Surroundings:
    """A home folder and what is in it.

    Attributes:
        home: the folder; everything the demonstration writes is under it.
    """

    home: Path

    @property
    def dagster_home(self) -> Path:
        """Folder of the embedded Dagster instance."""
        return self.home / "dagster"

    @property
    def secrets(self) -> Path:
        """Folder of the secret files."""
        return self.home / "secrets"

    @property
    def logs(self) -> Path:
        """Folder of the child processes' logs."""
        return self.home / "logs"

    @property
    def workspace(self) -> Path:
        """The workspace file that names the three code locations."""
        return self.home / "workspace.yaml"

    def prepare(self, secret_names: Sequence[str]) -> None:
        """Make the folders, the instance's settings and the secrets that are not there yet.

        Args:
            secret_names: names of settings, such as ``PSEUDONYM_KEY``, that get a fresh random value.

        Raises:
            SettingsError: the home folder cannot be written.
        """
        try:
            made_here = not self.home.exists() or self._is_unused()
            self.home.mkdir(parents=True, exist_ok=True)
            if made_here:
                self._mark.touch()
            for folder in (self.dagster_home, self.secrets, self.logs):
                folder.mkdir(exist_ok=True)
        except OSError as error:
            raise _unusable(self.home, error) from error
        self.secrets.chmod(0o700)
        (self.dagster_home / "dagster.yaml").write_text(
            files("mlops_assets.demo").joinpath("instance.yaml").read_text(encoding="utf-8"), encoding="utf-8"
        )
        self.workspace.write_text(
            "load_from:\n"
            + "".join(
                f"  - python_module:\n      module_name: mlops_assets.{name}.definitions\n      location_name: {name}\n"
                for name in _LOCATIONS
            ),
            encoding="utf-8",
        )
        for name in secret_names:
            self.write_secret(name, secrets.token_urlsafe(48), replace=False)

    def write_secret(self, name: str, value: str, *, replace: bool = True) -> None:
        """Write one secret file that only its owner can read."""
        file = self.secrets / f"{PREFIX}{name}".lower()
        if file.exists() and not replace:
            return
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(value)

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """The environment of every process of the demonstration: nothing secret, only where things are."""
        return {
            f"{PREFIX}HOME": str(self.home),
            SECRETS_FOLDER: str(self.secrets),
            "DAGSTER_HOME": str(self.dagster_home),
            # The embedded instance talks to nobody.
            "DAGSTER_DISABLE_TELEMETRY": "1",
            **{f"{PREFIX}{name}": value for name, value in settings.items()},
        }

    def clear(self) -> None:
        """Remove what an earlier demonstration left.

        Raises:
            SettingsError: the folder holds anything else, or cannot be emptied; then nothing is removed.
        """
        self.require_own()
        if not self.home.exists():
            return
        try:
            # The mark goes last, so that what an interrupted removal leaves can be removed the next time.
            for found in sorted(self.home.iterdir(), key=lambda path: path == self._mark):
                shutil.rmtree(found) if found.is_dir() and not found.is_symlink() else found.unlink()
        except OSError as error:
            raise _unusable(self.home, error) from error

    def require_own(self) -> None:
        """Look whether the folder is a demonstration's, or new.

        Raises:
            SettingsError: it holds anything else.
        """
        if self.home.exists() and not (self.home.is_dir() and (self._mark.exists() or self._is_unused())):
            raise SettingsError(
                source=f"The folder {self.home}",
                culprit="it holds what no demonstration has made.",
                remedy="Name a new folder with --home, or move what is there away.",
            )

    @property
    def _mark(self) -> Path:
        """Says that everything in the home folder was made by a demonstration, and may be removed by the next."""
        return self.home / ".demonstration"

    def _is_unused(self) -> bool:
        """Whether nothing is there but an instance that has never run anything, as ``dagster dev`` makes it."""
        found = {path.name for path in self.home.iterdir()}
        logs = self.dagster_home / "history" / "runs"
        return found <= {self.dagster_home.name} and {path.name for path in logs.glob("*.db")} <= {"index.db"}


def _unusable(folder: Path, error: OSError) -> SettingsError:
    return SettingsError(
        source=f"The folder {folder}",
        culprit=f"it cannot be used ({error.strerror or error}).",
        remedy="Name a folder that you may write, with --home.",
    )


@contextmanager
def applied(environment: Mapping[str, str]) -> Iterator[None]:
    """This process's environment with these variables, and as it was afterwards."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def process(
    command: Sequence[str], environment: Mapping[str, str], log: Path | None, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A program as a child process in a group of its own; the whole group is stopped at the end.

    Args:
        command: program and arguments.
        environment: variables beside those of this process.
        log: file that gets what the process prints; ``None`` leaves it to this process's own output.
        folder: folder to run in.
    """
    child: subprocess.Popen[bytes] | None = None
    try:
        with log.open("ab") if log is not None else nullcontext() as out, _signals_wait():
            child = subprocess.Popen(  # noqa: S603  our own programs
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT if log is not None else None,
                env={**os.environ, **environment},
                cwd=folder,
                start_new_session=True,
            )
        yield child
    finally:
        if child is not None:
            with _signals_wait():
                _stop(child)


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Being told to end takes effect after the block: no child is started or half stopped, and then forgotten."""
    if threading.current_thread() is not threading.main_thread():
        # Python runs handlers of signals in the main thread alone.
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _stop(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + _STOP_SECONDS / 3
        while time.monotonic() < deadline and _group_lives(child):
            time.sleep(0.1)
    child.wait()


def _group_lives(child: subprocess.Popen[bytes]) -> bool:
    child.poll()
    try:
        os.killpg(child.pid, 0)
    except ProcessLookupError:
        return False
    return True
