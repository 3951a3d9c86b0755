"""Together: what the partitions of one step have in common, such as one file that holds the rows of all.

Put here how long it lasts and who makes it. Keep out what it is (``own_rows``).
"""

from __future__ import annotations

import os
import shutil
import threading
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, TypeVar

import dagster as dg
from dagster._core.errors import DagsterInvariantViolationError

from mlops_assets.platform import scratch
from mlops_assets.platform.assets.step import at_end
from mlops_assets.platform.lake import raw

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.settings import Settings

T = TypeVar("T")


class Together:
    """What the partitions of one step have in common, made by the first that needs it.

    It goes with the step; where that is killed, as the next one starts (``platform.scratch``; of a file that was to be
    kept with ``lake expire``).
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._times: Counter[str] = Counter()
        self._made: dict[str, Any] = {}
        self._errors: dict[str, BaseException] = {}
        self._folder: Path | None = None
        self._files: list[Path] = []

    @classmethod
    def of_step(cls) -> Together | None:
        """That of the step which is under way; ``None`` where it makes one partition."""
        context = step_context()
        if context is None or not context.has_partition_key_range or len(context.partition_keys) == 1:
            return None
        with _LOCK:
            if (together := _STEPS.get(context)) is None:
                together = _STEPS[context] = cls()
                at_end(context, together.end)
        return together

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


def linked(file: Path, target: Path) -> None:
    """Give the file a second name; where its disk knows none, copy it."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)
