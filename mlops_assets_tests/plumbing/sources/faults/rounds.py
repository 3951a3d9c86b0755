"""A round: a source that something is broken in, what may come of it, and the judgement.

Put here what must hold of every kind. Keep out what is broken (one module for each kind of source).
"""

from __future__ import annotations

import base64
import datetime as dt
import io
import logging
import os
import re
import shutil
import time
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote, quote_plus

import pyarrow.parquet as pq

from mlops_assets.platform.assets.step import Partition
from mlops_assets.platform.errors import (
    ContractError,
    LakeError,
    PlatformError,
    SettingsError,
    SourceError,
    UnexpectedError,
)
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources.extraction import extracted
from mlops_assets_tests.plumbing.sources import shop
from mlops_assets_tests.plumbing.sources.faults.reference import RefusedError, Row, typed
from mlops_assets_tests.plumbing.sources.faults.visits import MONTH, NAMES, Texts

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import dagster as dg

    from mlops_assets.plumbing.sources.source import Source


SECRET: Final = "hunter2/+secret&value=q9"  # noqa: S105  a made one
LONGEST_SECONDS: Final = 20.0
_WORD: Final = re.compile(r"[^\W_]{6,}")
_OURS: Final = frozenset({*NAMES, "amount", "visits"})


class WrongError(Exception):
    """What must not be."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is broken, and what may come of it.

    Attributes:
        fault: in a few words.
        source: the declaration.
        accepted: what counts as complete; nothing does where the list is empty, anything where there is none.
        truth: what the source gives once it is healed.
        heal: mends it.
        healed: the declaration then, where it is another one.
        key: the partition.
        healed_key: the one that is asked for then, if it is another one.
        private: everything that the source may give; no message of a table of persons has a word of it.
        secrets: what no message has.
        around: holds while the source is asked, and is given back before it is healed.
        also: judges the error, or ``None`` where there was none; returns what is wrong.
        most_seconds: how long it may take.
        whole_run: whether it can go through a run of Dagster as well.
    """

    fault: str
    source: Source
    accepted: Sequence[Sequence[Row]] | None
    truth: Sequence[Row]
    heal: Callable[[], object]
    healed: Source | None = None
    key: str = MONTH
    healed_key: str | None = None
    private: bytes = b""
    secrets: Sequence[str] = (SECRET,)
    around: AbstractContextManager[object] = field(default_factory=nullcontext)
    also: Callable[[PlatformError | None], str | None] = lambda _: None
    most_seconds: float = LONGEST_SECONDS
    whole_run: bool = True


class Bench:
    """Where rounds are played: a folder, and servers that are started when they are first needed.

    Args:
        folder: of this process alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: dict[str, Any] = {}
        self.stack = ExitStack()

    def __enter__(self) -> Self:
        secrets = self.folder / "home" / "secrets"
        secrets.mkdir(parents=True)
        (secrets / "token").write_text(f"{SECRET}\n", encoding="utf-8")
        os.environ["MLOPS_ASSETS_HOME"] = str(self.folder / "home")
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def server(self, name: str, start: Callable[[], AbstractContextManager[Any]]) -> Any:  # noqa: ANN401  of any kind
        """The server of that name, started once."""
        if name not in self.servers:
            self.servers[name] = self.stack.enter_context(start())
        return self.servers[name]

    @contextmanager
    def room(self) -> Iterator[Path]:
        """An empty folder for one round."""
        room = self.folder / "room"
        room.mkdir()
        try:
            yield room
        finally:
            shutil.rmtree(room, ignore_errors=True)


def complete(texts: Sequence[Texts], *others: Sequence[Texts]) -> list[list[Row]]:
    """What counts as complete where each of these is whole; what is refused by the reference does not count."""
    found = []
    for each in (texts, *others):
        with suppress(RefusedError):
            found.append(typed(each))
    return found


def judged(case: Case, chance: random.Random, *, whole_run: bool) -> str:
    """What came of it, in a word.

    Raises:
        WrongError: something that must not be.
    """
    ask = by_a_run if whole_run and case.whole_run else read
    began = time.monotonic()
    with listened() as heard, case.around:
        found, error, told = ask(case.source, case.key)
    seconds = time.monotonic() - began
    if seconds > case.most_seconds:
        raise WrongError(f"it took {seconds:.1f} s")
    if problem := leak(told, heard, case):
        raise WrongError(problem)
    if found is not None and case.accepted is not None and not any(same(found, each) for each in case.accepted):
        wanted = f"{len(case.accepted[0])} rows, {first_other(found, case.accepted[0])}" if case.accepted else "none"
        raise WrongError(f"gave {len(found)} rows, of which none or others are complete ({wanted})")
    if problem := None if whole_run and case.whole_run else case.also(error):
        raise WrongError(f"{problem}: {told}")
    case.heal()
    again, _, told = read(case.healed or case.source, case.healed_key or case.key)
    if again is None:
        raise WrongError(f"healed it is refused: {told}")
    if not same(again, case.truth):
        raise WrongError(f"healed it gives {len(again)} rows, {first_other(again, case.truth)}")
    del chance
    return "complete" if found is not None else type(error).__name__ if error else "refused by the run"


def read(
    source: Source, key: str, tags: Mapping[str, str] | None = None
) -> tuple[list[Row] | None, PlatformError | None, list[str]]:
    """The rows, or the error, and all that was told."""
    with LakeSession(Settings.load()) as session:
        try:
            partition = Partition(key, source.contract.partition_values(key))
            done = extracted(source, partition, session, tags or {})
        except UnexpectedError as error:
            raise WrongError(f"it raised {error}") from error
        except (SourceError, SettingsError, ContractError, LakeError) as error:
            if not all(len(part) > 1 for part in (error.source, error.culprit, error.remedy)):
                raise WrongError(f"its error lacks a part: {error!r}") from error
            return None, error, [str(error), *map(str, error.args)]
        except Exception as error:
            raise WrongError(
                f"it raised {type(error).__module__}.{type(error).__name__}: {str(error)[:500]}"
            ) from error
        names = ["month", *NAMES]
        table = pq.read_table(done.value, partitioning=None).select(names)
        try:
            found = [tuple(each.values()) for each in table.to_pylist()]
        except (ValueError, OverflowError):
            # Python has no day like that.
            found = [(*table.column_names,)]
    return found, None, [str(done.metadata)]


def by_a_run(
    source: Source, key: str, tags: Mapping[str, str] | None = None, instance: dg.DagsterInstance | None = None
) -> tuple[list[Row] | None, PlatformError | None, list[str]]:
    """What a run published, or all that was told of one that failed."""
    said = io.StringIO()
    with redirect_stderr(said):
        done = shop.run(source.model_copy(update={"retries": 0, "snapshot": True}), key, tags=tags, instance=instance)
    told = [done.told, str(done.metadata), str(done.descriptions), said.getvalue()]
    if not done.success:
        if "unexpected " in done.told and "mlops-assets error" in done.told:
            raise WrongError(f"a run failed with {done.told}")
        if not done.told:
            raise WrongError("a run failed, and told nothing")
        return None, None, told
    return published(source, key), None, told


def published(source: Source, key: str) -> list[Row]:
    """The rows of a partition that everybody sees."""
    with LakeSession(Settings.load()) as session:
        table = current_table(session, source.contract)
        found = table.filter(table.month == key).select("month", *NAMES).to_pyarrow().to_pylist()
    return [tuple(each.values()) for each in found]


def same(found: Sequence[Row], other: Sequence[Row]) -> bool:
    """Whether these are the same rows, in any order."""
    return len(found) == len(other) and sorted(map(_comparable, found)) == sorted(map(_comparable, other))


def _comparable(row: Row) -> str:
    return repr(tuple(map(_plain, row)))


def _plain(value: Any) -> Any:  # noqa: ANN401  of any type
    """A value as one of its kind: a moment is one in every zone, and 0 is -0."""
    if isinstance(value, dt.datetime) and value.tzinfo:
        return value.timestamp()
    return value + 0 if isinstance(value, float | Decimal) else value


def first_other(found: Sequence[Row], other: Sequence[Row]) -> str:
    """The first row that is not among the others."""
    known = {_comparable(each) for each in other}
    return next((f"such as {each!r:.300}" for each in found if _comparable(each) not in known), "missing ones")


def leak(told: Sequence[str], heard: Sequence[tuple[int, str]], case: Case) -> str | None:
    """What is told that nobody may read: a secret, or a word of a person."""
    text = "\n".join([*told, *(line for _, line in heard)])
    for secret in case.secrets:
        for form in (
            secret,
            quote(secret),
            quote(secret, safe=""),
            quote_plus(secret),
            base64.b64encode(secret.encode()).decode(),
        ):
            if form in text:
                return f"a secret is told: {text[:1000]}"
    if case.source.contract.personal:
        # What a library tells of its own working, where somebody asks it to, are the bytes that it works on.
        text = "\n".join([*told, *(line for level, line in heard if level > logging.DEBUG)])
        said = set(_WORD.findall(text))
        for read in (case.private.decode("utf-8", "replace"), case.private.decode("latin-1")):
            if found := {*_WORD.findall(read)} & said - _OURS:
                return f"of a person {found} is told: {text[:1000]}"
    return None


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(("dagster", "asyncio")):
            self.lines.append((record.levelno, record.getMessage()))


@contextmanager
def listened() -> Iterator[list[tuple[int, str]]]:
    """All that is logged meanwhile."""
    handler, root = _Heard(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
