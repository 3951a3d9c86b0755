"""Processes: a command in a session of its own, which ends with the step, however the step ends.

Put here how a command is started, watched and ended. Keep out what is declared of it and what its output means
(``command``).

The step's own thread may be interrupted between any two instructions, also between a start and the note of it. So a
thread of its own starts the command and ends it, and the step waits for that thread. A second process, the guard, waits
for the step: where the step is killed, it ends the command.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import IO, TYPE_CHECKING, Final

from mlops_assets.platform.errors import SettingsError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import duckdb

GRACE_SECONDS = 5.0
"""How long a command may take to end after SIGTERM, and others may hold its standard output after its end."""
MOST_SAID: Final = 2**22
"""Bytes of its messages that are kept, the last ones."""

_PAUSE_SECONDS: Final = 0.05
_BLOCK: Final = 2**20
_WATCH: Final = "FROM range(1_000_000_000_000)"
_WATCHED_ROWS: Final = 2_048
_GUARD: Final = """
import os, signal, sys, time
sys.stdin.buffer.read()
for number in (signal.SIGTERM, signal.SIGKILL):
    os.killpg(int(sys.argv[1]), number)
    time.sleep(float(sys.argv[2]))
"""


class Stop(Enum):
    """Why a command was not left to its own end."""

    TIME = auto()
    SIZE = auto()
    HELD = auto()
    """It has ended, but something that it has started may still write to its standard output."""
    CANCELLED = auto()


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command and its bounds.

    Attributes:
        source: how messages name it.
        arguments: the program and what it is given.
        environment: all of it.
        cwd: the folder in which it starts.
        output: the file that it fills.
        writes: whether it writes that file itself; if not, its standard output goes there.
        timeout_seconds: how long it may run.
        most_bytes: how large the file may become.
    """

    source: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    cwd: Path
    output: Path
    writes: bool
    timeout_seconds: float
    most_bytes: int


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended; nothing in its process group runs any more.

    Attributes:
        code: its exit code, or minus the number of the signal that ended it.
        stop: why it was ended, if it was.
        said: the end of its standard error; with its standard output where that is not what it fills.
        seconds: how long it ran.
    """

    code: int
    stop: Stop | None
    said: bytes
    seconds: float


def run(command: Command, connection: duckdb.DuckDBPyConnection) -> Ended:
    """Run a command to its end.

    Args:
        command: which one.
        connection: of the step. In a step that works on several partitions at a time, a cancelled run is told to the
            threads by interrupting their queries; so one is under way while the command is.

    Raises:
        SettingsError: it cannot be started.
        OSError: there is no room for its output.
        duckdb.InterruptException: the run was cancelled.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="command") as pool:
        try:
            ending = pool.submit(_run, command, stop)
            query = connection.execute(_WATCH)
            while not wait([ending], _PAUSE_SECONDS).done:
                query.fetchmany(_WATCHED_ROWS)
            return ending.result()
        finally:
            stop.set()


def _run(command: Command, stop: threading.Event) -> Ended:
    began = time.monotonic()
    process = _started(command)
    try:
        with _guard(process.pid):
            return _Watch(command, process, stop, began).until_its_end()
    finally:
        # Not reaped before, so the number of the group is not another's yet.
        _signal(process, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _started(command: Command) -> subprocess.Popen[bytes]:
    name = command.arguments[0]
    if not command.cwd.is_dir() or not os.access(command.cwd, os.X_OK):
        raise SettingsError(
            source=command.source,
            culprit=f"its working folder {command.cwd} is not there, or may not be entered.",
            remedy="Make it, or name another one in the declaration's cwd.",
        )
    try:
        return subprocess.Popen(  # noqa: S603  declared by the owner of the table, without a shell
            command.arguments,
            env=command.environment,
            cwd=command.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if command.writes else subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    except FileNotFoundError:
        culprit = f"{name} is not there, or the program that its first line names is not."
        remedy = "Install it where runs are, in a folder of PATH; in its working folder it is called ./name."
    except PermissionError:
        culprit = f"{name} may not be executed."
        remedy = "Make it executable for the account of the runs (chmod +x)."
    except OSError as error:
        culprit = f"{name} cannot be started ({error.strerror})."
        remedy = "A script needs a first line such as #!/bin/sh; else look at the limits of the machine."
    except ValueError:
        raise SourceError(
            source=command.source,
            culprit="an argument or a variable holds what no command can be given, such as a NUL.",
            remedy="Look at the partition's key.",
        ) from None
    raise SettingsError(source=command.source, culprit=culprit, remedy=remedy)


@contextmanager
def _guard(group: int) -> Iterator[None]:
    """End the process group where this process ends within the block, be it by SIGKILL."""
    with subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, "-I", "-S", "-c", _GUARD, str(group), str(GRACE_SECONDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    ) as guard:
        try:
            yield
        finally:
            guard.kill()


class _Watch:
    """Reads what a command writes, and ends it where it must not go on."""

    def __init__(self, command: Command, process: subprocess.Popen[bytes], stop: threading.Event, began: float) -> None:
        self._command = command
        self._process = process
        self._stop_asked = stop
        self._began = began
        self._size = 0
        self._said = bytearray()
        self._said_more = False
        self._stop: Stop | None = None
        self._selector = selectors.DefaultSelector()

    def until_its_end(self) -> Ended:
        with self._selector, self._output() as output:
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    self._selector.register(stream, selectors.EVENT_READ)
            until = float("inf")
            while (running := not _has_ended(self._process)) or self._is_held():
                self._read(output, _PAUSE_SECONDS)
                now = time.monotonic()
                if self._stop is None and (reason := self._reason(now, running=running)) is not None:
                    self._stop, until = reason, now + GRACE_SECONDS
                    _signal(self._process, signal.SIGTERM)
                elif not running and until == float("inf"):
                    until = now + GRACE_SECONDS
                elif now >= until:
                    self._stop = self._stop or Stop.HELD
                    break
            # What it left behind may not outlive it; what it has said is still in the pipe.
            _signal(self._process, signal.SIGKILL)
            self._read(output, 0)
        # It may have written more than it may, and ended, between two looks.
        self._stop = self._stop or self._reason(time.monotonic(), running=False)
        return Ended(
            code=self._process.wait(),
            stop=self._stop,
            said=self._last_said(),
            seconds=time.monotonic() - self._began,
        )

    def _reason(self, now: float, *, running: bool) -> Stop | None:
        if self._stop_asked.is_set():
            return Stop.CANCELLED
        if self._command.writes:
            with suppress(OSError):
                self._size = self._command.output.lstat().st_size
        if self._size > self._command.most_bytes:
            return Stop.SIZE
        return Stop.TIME if running and now - self._began > self._command.timeout_seconds else None

    def _is_held(self) -> bool:
        return self._process.stdout in {key.fileobj for key in self._selector.get_map().values()}

    def _output(self) -> IO[bytes]:
        """Where standard output goes; nowhere where the command writes its file itself."""
        return open(os.devnull if self._command.writes else self._command.output, "wb", buffering=0)  # noqa: PTH123

    def _read(self, output: IO[bytes], seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            block = os.read(key.fd, _BLOCK)
            if not block:
                self._selector.unregister(key.fileobj)
            elif key.fileobj is self._process.stdout and not self._command.writes:
                self._write(output, block)
            else:
                self._said += block
                if len(self._said) > 2 * MOST_SAID:
                    del self._said[:-MOST_SAID]
                    self._said_more = True

    def _last_said(self) -> bytes:
        if len(self._said) <= MOST_SAID and not self._said_more:
            return bytes(self._said)
        # Not with half a line, in which half a secret would not be known: of a single line nothing is left.
        return bytes(self._said[-MOST_SAID:]).partition(b"\n")[2]

    def _write(self, output: IO[bytes], block: bytes) -> None:
        self._size += len(block)
        if self._size > self._command.most_bytes:
            return
        rest = memoryview(block)
        while rest:
            # Where little room is left, a part of it is written, and no error told.
            rest = rest[output.write(rest) :]


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
