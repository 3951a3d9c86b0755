"""Together: what the partitions of one step have in common, such as one file that holds the rows of all.

Put here how long it lasts and who makes it. Keep out what it is (``own_rows``).
"""

from __future__ import annotations

import os
import shutil
import threading
import weakref
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import dagster as dg
from dagster._core.errors import DagsterInvariantViolationError

from mlops_assets.platform import scratch
from mlops_assets.platform.errors import SourceUnavailableError
from mlops_assets.platform.lake import raw

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.settings import Settings
    from mlops_assets.plumbing.sources.delivered import Delivered

T = TypeVar("T")


class Together:
    """What the partitions of one step have in common, made by the first that needs it.

    It goes with the last of the step's partitions; where the step is interrupted, with the process; where that is
    killed, as the next one starts (``platform.scratch``; of a file that was to be kept with ``lake expire``).
    """

    def __init__(self, keys: Collection[str]) -> None:
        self._left = {*keys}
        self._several = len(self._left) > 1
        self._lock = threading.RLock()
        self._times: Counter[str] = Counter()
        self._made: dict[str, Any] = {}
        self._errors: dict[str, BaseException] = {}
        self._folder: Path | None = None
        self._files: list[Path] = []
        self._version: str | None = None

    @classmethod
    def of_step(cls) -> Together | None:
        """That of the step which is under way; ``None`` where it makes one partition."""
        context = step_context()
        if context is None or not context.has_partition_key_range:
            return None
        with _LOCK:
            if (together := _STEPS.get(context)) is None:
                together = _STEPS[context] = cls(context.partition_keys)
                weakref.finalize(context, together.end)
        return together if together._several else None

    def asked(self, name: str) -> int:
        """Count that somebody asks for it: how often that was."""
        with self._lock:
            self._times[name] += 1
            return self._times[name]

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What ``make`` gave the first that asked for that name.

        Raises:
            BaseException: what it raised then: the others would meet that, too.
        """
        with self._lock:
            if name in self._errors:
                raise self._errors[name].with_traceback(None)
            if name not in self._made:
                try:
                    self._made[name] = make()
                except BaseException as error:
                    self._errors[name] = error
                    raise
            found: T = self._made[name]
            return found

    def folder(self) -> Path:
        """A folder of temporary files."""
        with self._lock:
            self._folder = self._folder or scratch.make()
            return self._folder

    def incoming(self, settings: Settings, contract: Contract) -> Path:
        """Where to put what comes for all of them and is kept: on the disk of the lake's data."""
        self._files.append(raw.incoming(settings, contract))
        return self._files[-1]

    def require_version(self, delivered: Delivered) -> None:
        """Refuse another file than the one that others were made from: one may be made again after the last.

        Raises:
            SourceUnavailableError: it is another one.
        """
        if self._version not in {None, delivered.sha256}:
            raise SourceUnavailableError(
                source=delivered.source,
                culprit="it is not the file any more that the other partitions of this run were made from.",
                remedy="Run it again: all partitions of a run are made from one version.",
            )
        self._version = delivered.sha256

    def done(self, key: str | None) -> None:
        """Note that a partition has been made, or not."""
        with self._lock:
            self._left.discard(str(key))
            if not self._left:
                self.end()

    def end(self) -> None:
        """Remove it."""
        with self._lock:
            for file in self._files:
                file.unlink(missing_ok=True)
            if self._folder is not None:
                scratch.remove(self._folder)
            self._files, self._folder = [], None
            self._made.clear()
            self._errors.clear()


_STEPS: Final[weakref.WeakKeyDictionary[dg.AssetExecutionContext, Together]] = weakref.WeakKeyDictionary()
_LOCK: Final = threading.Lock()


def step_context() -> dg.AssetExecutionContext | None:
    """Dagster's, of the step that is under way; ``None`` outside of one."""
    try:
        return dg.AssetExecutionContext.get()
    except DagsterInvariantViolationError:
        return None


@contextmanager
def in_step(partition: Partition) -> Iterator[None]:
    """Make a partition within the block: after the last one of its step, what they have in common goes."""
    try:
        yield
    finally:
        context = step_context()
        if context is not None and (together := _STEPS.get(context)) is not None:
            together.done(partition.key)


def linked(file: Path, target: Path) -> None:
    """Give the file a second name; where its disk knows none, copy it."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)
