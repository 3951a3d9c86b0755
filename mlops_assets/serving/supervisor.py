"""The supervisor: a parent that forks workers, replaces those that die or hang, and ends them in good order.

Put here the life of worker processes. Keep out what a worker does, and everything that needs an event loop: the parent
has neither one nor threads, so that a fork copies a whole process.
"""

from __future__ import annotations

import logging
import mmap
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LOGGER: Final = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 0.5
_HUNG_SECONDS: Final = 30.0
"""A worker whose event loop has not turned for so long answers nobody."""
_SHORT_LIFE_SECONDS: Final = 5.0
_SHORT_LIVES: Final = 5
"""So many short lives in a row mean that starting again will not help."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SIZE: Final = 8
FAILED: Final = 3
"""Exit code of a worker that could not start."""


class Heartbeat:
    """The times at which workers were last seen alive, in memory that they share with their parent."""

    def __init__(self, workers: int) -> None:
        self._times = memoryview(mmap.mmap(-1, workers * _SIZE)).cast("d")

    def beat(self, worker: int) -> None:
        """The worker is alive."""
        self._times[worker] = time.monotonic()

    def age(self, worker: int) -> float:
        """Seconds since it was last seen alive."""
        return time.monotonic() - self._times[worker]


class Supervisor:
    """Keeps a number of workers running until told to end."""

    def __init__(
        self,
        workers: int,
        work: Callable[[Callable[[], None]], None],
        *,
        grace_seconds: float,
        ended: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Prepare.

        Args:
            workers: how many.
            work: what a worker does, until SIGTERM ends it; it is given what to call at least every few seconds.
            grace_seconds: how long workers have to end before they are killed.
            ended: called in the parent with the id of each worker's process that has ended.
        """
        self._count = workers
        self._work = work
        self._grace_seconds = grace_seconds
        self._ended = ended
        self._heartbeat = Heartbeat(workers)
        self._workers: dict[int, tuple[int, float]] = {}
        self._short_lives = 0

    def run(self) -> int:
        """Run until SIGTERM, SIGINT or SIGHUP; the exit code is 1 when workers could not be kept running, else 0."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {*_SIGNALS, signal.SIGCHLD})
        for number in range(self._count):
            self._fork(number)
        code = 0
        while True:
            told = signal.sigtimedwait({*_SIGNALS, signal.SIGCHLD}, _LOOK_SECONDS)
            if told is not None and told.si_signo in _SIGNALS:
                break
            for number in self._reap():
                if self._short_lives >= _SHORT_LIVES:
                    _LOGGER.error("workers cannot be kept running")
                    code = 1
                    break
                self._fork(number)
            if code:
                break
            self._kill_hung()
        self._end()
        return code

    def _fork(self, number: int) -> None:
        self._heartbeat.beat(number)
        sys.stdout.flush()
        sys.stderr.flush()
        process_id = os.fork()
        if process_id:
            self._workers[process_id] = (number, time.monotonic())
            _LOGGER.info("worker started", extra={"fields": {"worker": number, "process_id": process_id}})
            return
        self._be_worker(number)

    def _be_worker(self, number: int) -> None:
        parent = os.getppid()
        for each in (*_SIGNALS, signal.SIGCHLD):
            signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_SIGNALS, signal.SIGCHLD})

        def alive() -> None:
            self._heartbeat.beat(number)
            if os.getppid() != parent:
                # Nobody would replace or end it any more.
                signal.raise_signal(signal.SIGTERM)

        code = FAILED
        try:
            self._work(alive)
            code = 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else FAILED
        except BaseException:
            _LOGGER.exception("worker failed")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> list[int]:
        """The numbers of the workers that have ended."""
        numbers = []
        while self._workers:
            try:
                process_id, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if process_id == 0:
                break
            if process_id not in self._workers:
                continue
            number, started = self._workers.pop(process_id)
            short = time.monotonic() - started < _SHORT_LIFE_SECONDS and os.waitstatus_to_exitcode(status) >= 0
            self._short_lives = self._short_lives + 1 if short else 0
            fields = {"worker": number, "process_id": process_id, "exit": os.waitstatus_to_exitcode(status)}
            _LOGGER.warning("worker ended", extra={"fields": fields})
            self._ended(process_id)
            numbers.append(number)
        return numbers

    def _kill_hung(self) -> None:
        for process_id, (number, _) in self._workers.items():
            if self._heartbeat.age(number) > _HUNG_SECONDS:
                _LOGGER.error("worker hangs", extra={"fields": {"worker": number, "process_id": process_id}})
                os.kill(process_id, signal.SIGKILL)

    def _end(self) -> None:
        for process_id in self._workers:
            os.kill(process_id, signal.SIGTERM)
        deadline = time.monotonic() + self._grace_seconds
        while self._workers:
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)
            self._reap()
            if time.monotonic() > deadline:
                for process_id in self._workers:
                    os.kill(process_id, signal.SIGKILL)
                deadline = float("inf")
