"""Rounds on names, places and room: files beside, odd names, files that change as they are read, full disks.

Put here faults round a file or a step's scratch. Keep out what is in the file (``files``).
"""

from __future__ import annotations

import json
import os
import resource
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis.expr.datatypes as types
import pandera.ibis as pa

from mlops_assets.platform.assets.definitions import build_defs
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.plumbing.sources.command.source import CommandSource
from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Quiet
from mlops_assets.plumbing.sources.formats.kinds import Delimited, Parquet
from mlops_assets.plumbing.sources.http.rest import RestSource
from mlops_assets.plumbing.sources.sql.databases import Sqlite
from mlops_assets.plumbing.sources.sql.source import SqlSource
from mlops_assets_tests.plumbing.sources.api import ApiServer, Said
from mlops_assets_tests.plumbing.sources.faults import databases, visits
from mlops_assets_tests.plumbing.sources.faults.dialects import Dialect, contract
from mlops_assets_tests.plumbing.sources.faults.packings import pack, unpacked
from mlops_assets_tests.plumbing.sources.faults.parquet import table_of, written
from mlops_assets_tests.plumbing.sources.faults.reference import RefusedError, typed
from mlops_assets_tests.plumbing.sources.faults.rounds import Bench, Case, WrongError
from mlops_assets_tests.plumbing.sources.faults.visits import KINDS, MONTH, NAMES

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.platform.errors import PlatformError
    from mlops_assets.plumbing.sources.source import Source

_KEYS: Final = (
    "a", "A", "[a]", "a?", "a*", "*", "**", "{a,b}", "a b", " a", "a ", "ü", "u\u0308", "..", ".", ".a", "a/b",
    "a\\b", "%61", "a%2Fb",
    "~", "$HOME", "a\nb", "-a", "a.csv", "'a'", '"a"', "a::b", "simplecache::a", "c:a", "file://a", "null", "None",
    "1.0", "🙂" * 20,
    "a" * 300,
)  # fmt: skip
_MOST_ROOM: Final = 20_000
_ROOM: Final = ("TMPDIR", "room", "temporary", "scratch")


def _keyed(keys: list[str]) -> Contract:
    columns = {name: pa.Column(kind, nullable=True) for name, kind in KINDS.items()}
    return Contract(
        layer="raw",
        table="keyed",
        model=pa.DataFrameSchema({"month": pa.Column(types.string), **columns}),
        lake=Lake("shop"),
        description="Who came.",
        owners=["team:plumbing"],
        partitions_def=dg.StaticPartitionsDefinition(keys),
        partition_columns={"month": "month"},
    )


@contextmanager
def names(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """Keys that look like patterns, paths or addresses, with other files beside."""
    keys = [key for key in chance.sample(_KEYS, 6) if "\n" not in key]
    key = chance.choice(keys)
    dialect = Dialect(chance)
    dialect.quote = '"'
    given, others = dialect.rows(), [dialect.rows() for _ in keys]
    pattern = chance.choice(["{month}.csv", "visits-{month}.csv", "[1]{month}?.csv", "{month}/all.csv"])
    with bench.room() as room:
        for each, rows in zip(keys, others, strict=True):
            _put(room, pattern.replace("{month}", each), dialect.written(NAMES, rows))
        file = pattern.replace("{month}", key)
        there = "/" not in key and _put(room, file, dialect.written(NAMES, given))
        fault = "there"
        if there and chance.random() < 0.5:
            fault = chance.choice(["gone", "folder", "pipe", "link", "dangling link"])
            _replace(room / file, room, fault)
        source = FileSource(
            contract=_keyed(keys), path=str(room), file=pattern, whole=Quiet(seconds=0), format=dialect.format()
        )
        _look(source)
        yield Case(
            fault=f"{fault} {key!r:.20}",
            source=source,
            key=key,
            # A key that no file can be named by stays one.
            healed=None if there else source.model_copy(update={"contract": _keyed([MONTH])}),
            healed_key=key if there else MONTH,
            accepted=[typed(given, key)] if fault in {"there", "link"} and there else [],
            truth=typed(given, key if there else MONTH),
            heal=lambda: _put(
                room, file if there else pattern.replace("{month}", MONTH), dialect.written(NAMES, given)
            ),
            private=b"",
            whole_run=False,
        )


def _put(room: Path, name: str, content: bytes) -> bool:
    """Write a file of that name below the folder; whether there can be one."""
    if {"", ".", ".."} & {*name.split("/")} or name.count("/") > 1:
        return False
    file = room / name
    try:
        if file.is_symlink() or file.is_fifo():
            file.unlink()
        if file.is_dir():
            file.rmdir()
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
    except OSError:
        return False
    return True


def _replace(file: Path, room: Path, fault: str) -> None:
    moved = room / "moved"
    file.rename(moved)
    match fault:
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "link":
            file.symlink_to(moved)
        case "dangling link":
            file.symlink_to(room / "nothing")


def _look(source: FileSource) -> None:
    """One look of the sensor: whatever lies there, it tells and does not fail."""
    with dg.DagsterInstance.ephemeral() as instance:
        repository = build_defs([source], name="shop").get_repository_def()
        [sensor] = source.sensors()
        looked = sensor(dg.build_sensor_context(instance=instance, repository_def=repository))
        if not isinstance(looked, dg.SensorResult):
            raise WrongError(f"a look of the sensor gave {looked!r}")


@contextmanager
def changes(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """A file that is written anew, in its place or beside it, as it is read."""
    dialect = Dialect(chance)
    first, second = dialect.rows(), dialect.rows()
    contents = [dialect.written(NAMES, each) for each in (first, second)]
    how = chance.choice(["replaced", "rewritten"])
    with bench.room() as room:
        file = room / f"{MONTH}.csv"
        file.write_bytes(contents[0])
        over = threading.Event()

        def write() -> None:
            number = 0
            while not over.wait(0.0005 * chance.random()):
                number += 1
                coming = file if how == "rewritten" else room / "coming"
                coming.write_bytes(contents[number % 2])
                coming.replace(file)

        @contextmanager
        def busy() -> Iterator[None]:
            thread = threading.Thread(target=write)
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()

        yield Case(
            fault=how,
            source=FileSource(
                contract=contract(chance),
                path=str(room),
                file="{month}.csv",
                whole=Quiet(seconds=0),
                format=dialect.format(),
            ),
            # Nothing of it is there for a moment; without a header, and without quiet, that is a file without rows.
            accepted=[
                *(typed(dialect.read(each)) for each in contents),
                *([[]] if how == "rewritten" and not dialect.headed else []),
            ],
            truth=typed(dialect.read(contents[0])),
            heal=lambda: file.write_bytes(contents[0]),
            private=contents[0] + contents[1],
            around=busy(),
        )


@contextmanager
def full(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """A disk that is full after so many bytes of a file of the step's."""
    given = visits.rows(chance)
    dialect = Dialect(chance)
    dialect.encoding, dialect.quote = "utf-8", '"'
    plain = dialect.written(NAMES, given)
    truth = typed(given)
    limit = chance.choice([0, 1, 100, 512, 1000, 2000, chance.randrange(_MOST_ROOM)])
    kind = chance.choice(["text", "packed", "parquet", "rest", "command", "sqlite"])
    with bench.room() as room, ApiServer(lambda _: Said(value=given)) as api:
        file = room / MONTH
        there = {"contract": contract(chance), "path": str(room), "file": "{month}", "whole": Quiet(seconds=0)}
        source: Source
        if kind == "rest":
            source = RestSource(contract=contract(chance), url=f"{api.url}/{{month}}")
        elif kind == "sqlite":
            databases.made(room / "shop.db", chance, given)
            database = Sqlite(path=str(room / "shop.db"))
            source = SqlSource(contract=contract(chance), database=database, table="visits", where="month = :month")
        elif kind == "command":
            script = ["sh", "-c", 'cat "$1"', "sh", str(file)]
            source = CommandSource(contract=contract(chance), command=script, format=dialect.format())
        else:
            form: Any = Parquet() if kind == "parquet" else Delimited.model_validate(dialect.format().model_dump())
            source = FileSource.model_validate({**there, "format": form})
        content = {
            "parquet": lambda: written(chance, table_of(truth)),
            "packed": lambda: _good_pack(chance, plain),
        }.get(kind, lambda: plain)()
        file.write_bytes(content)

        @contextmanager
        def little_room() -> Iterator[None]:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

        def also(error: PlatformError | None) -> str | None:
            return (
                None
                if error is None or any(word in str(error) for word in _ROOM)
                else "the error does not tell of room"
            )

        yield Case(
            fault=kind,
            source=source,
            accepted=[truth],
            truth=truth,
            heal=lambda: None,
            private=plain + json.dumps(given).encode(),
            around=little_room(),
            also=also,
            whole_run=False,
        )


def _good_pack(chance: random.Random, plain: bytes) -> bytes:
    while True:
        content, way = pack(chance, plain)
        with suppress(RefusedError):
            if way != "named" and unpacked(content) == plain:
                return content
