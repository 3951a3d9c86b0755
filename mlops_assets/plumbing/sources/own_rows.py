"""Own rows: whether each partition has a file of its own, and which rows are its own where one file holds those of all.

Put here what holds for files wherever they come from. Keep out how they are fetched (``files``, ``http.file``) and read
(``formats``), and when a run is asked for (``arrivals``).

A step that makes several partitions has such a file read once: the rows go to scratch in the order of their partitions,
so that each reads its own alone. When that goes is in ``together``.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.assets.step import Partition
from mlops_assets.platform.contracts.volume import ACCEPTED_TAG
from mlops_assets.platform.errors import ContractError, SourceError, SourceUnavailableError
from mlops_assets.platform.lake.catalog import literal, quote
from mlops_assets.platform.lake.files import ROW_GROUP
from mlops_assets.plumbing.sources import arrivals, in_file
from mlops_assets.plumbing.sources.templates import fields_of, filled, is_partition, key_of, tells_apart
from mlops_assets.plumbing.sources.together import Together, linked, step_context

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import duckdb

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.plumbing.sources.delivered import Delivered, Request
    from mlops_assets.plumbing.sources.source import Source

_MOST_SHOWN: Final = 3
_LOOKED_AT: Final = 100
_PLACE: Final = "number of the row in mlops_assets"


def require_all_apart(option: str, text: str, contract: Contract, source: str) -> None:
    """Refuse a text that names partitions, and not each by another name; the first ones are looked at.

    Args:
        option: how messages name the text.
        text: what is filled in for each partition.
        contract: whose partitions they are.
        source: what is declared, for messages.

    Raises:
        ContractError: two partitions have the same.
    """
    fields = fields_of(text)
    if not fields:
        return
    definition = contract.partitions_def
    keys = [] if definition is None or contract.dynamic else definition.get_partition_keys()[:_LOOKED_AT]
    if tells_apart(fields, contract):
        names = {filled(text, contract, Partition(key, contract.partition_values(key))) for key in keys}
        if len(names) == len(keys):
            return
    columns = " and ".join(f"{{{each}}}" for each in contract.partition_columns.values())
    raise ContractError(
        source=source,
        culprit=f"its {option} does not tell every partition from the others.",
        remedy=f"Name {{partition}}, or {columns}.",
    )


def own_rows(
    request: Request, source: Source, read: Callable[[Request], Delivered], *, again: str | None = None
) -> Delivered:
    """The partition's rows of a file that holds those of all, which is read once in a step of several partitions.

    Args:
        request: whose are wanted; the file is at its ``raw`` afterwards, if it is to be kept.
        source: the declaration.
        read: gives all rows of the file, and puts that where its request says.
        again: the SHA-256 of the kept file that is read instead; ``None`` where the source is asked.

    Raises:
        SourceError: the file does not say whose rows they are, does not hold as many as were promised, has none of the
            partition although it may not be empty, or some are of no partition: they are named, since ``2018.0`` would
            otherwise be left out of 2018 without a word.
    """
    together = Together.of_step()
    # Of kept files there may be as many as partitions: one is shared from the second time on.
    if together is not None and (again is None or together.asked(again) > 1):
        return _shared_rows(together, request, source, read, again)
    delivered = read(request)
    held = _held(delivered, source)
    if again is None:
        _note(delivered, held, source.contract)
    # What is late may be there at the next try; of several partitions none waits for that.
    late = SourceUnavailableError if together is None else SourceError
    return _of_partition(delivered, held, request, source, late=late)


def _note(delivered: Delivered, held: Collection[tuple[str, ...]], contract: Contract) -> None:
    context, identity = step_context(), delivered.facts.get(arrivals.DELIVERY)
    if context is not None and identity is not None:
        in_file.note(contract, context.instance, str(identity), _keys(held, contract))


def keys_in(delivered: Delivered, source: Source) -> list[str]:
    """The keys of the partitions that are in a file.

    Raises:
        SourceError: as ``own_rows``.
    """
    return _keys(_held(delivered, source), source.contract)


def _keys(held: Collection[tuple[str, ...]], contract: Contract) -> list[str]:
    """The keys of the partitions with these values."""
    columns = contract.partition_columns.values()
    return sorted(key_of(dict(zip(columns, values, strict=True)), contract) for values in held)


def _held(delivered: Delivered, source: Source) -> set[tuple[str, ...]]:
    """The values of each partition that is in a file."""
    rows, contract = delivered.rows, source.contract
    theirs = _theirs(source)
    if absent := [column for column in theirs.values() if column not in rows.columns]:
        raise SourceError(
            source=delivered.source,
            culprit=f"it holds all partitions and has no column {absent[0]} that tells them apart.",
            remedy="Say in the declaration's columns how it calls it, or name the partition in file.",
        )
    texts = ", ".join(f"CAST({quote(column)} AS VARCHAR)" for column in theirs.values())
    with delivered.read():
        found = rows.query("delivered", f"SELECT {texts}, count(*) FROM delivered GROUP BY ALL").fetchall()
    delivered.require_promised(sum(count for *_, count in found))
    by_column = ((dict(zip(theirs, values, strict=True)), count) for *values, count in found)
    if strange := [([*values.values()], count) for values, count in by_column if not is_partition(values, contract)]:
        shown = ", ".join(repr("|".join(map(str, values))) for values, _ in sorted(strange, key=str)[:_MOST_SHOWN])
        told = ", ".join(theirs.values()) + ("" if contract.personal else f": {shown}")
        raise SourceError(
            source=delivered.source,
            culprit=f"{sum(count for _, count in strange):,} of its rows are of no partition of the table ({told}).",
            remedy="Ask the source's owner how these are meant; nothing was left out in silence.",
        )
    return {tuple(values) for *values, _ in found}


def _theirs(source: Source) -> dict[str, str]:
    """By partition column how the source calls it."""
    return {name: source.columns.get(name, name) for name in source.contract.partition_columns.values()}


def _of_partition(
    delivered: Delivered,
    held: Collection[tuple[str, ...]],
    request: Request,
    source: Source,
    *,
    late: type[SourceError],
) -> Delivered:
    """The rows of the partition among all."""
    contract, values, theirs = source.contract, request.partition.values, _theirs(source)
    if tuple(values[name] for name in theirs) not in held and not _may_be_empty(contract):
        keys = _keys(held, contract)
        shown = f": {', '.join(keys[:1] + keys[1:][-1:])}" if keys and not contract.personal else ""
        raise late(
            source=delivered.source,
            culprit=f"it has no rows of partition {request.partition.key}, which is late, or is not in it any more "
            f"(it has rows of {len(keys):,}{shown}).",
            remedy="Wait for the next file, or ask its sender. If it is right without rows, run it with the tag "
            f"{ACCEPTED_TAG}=0, or declare allow_empty in the contract's volume.",
        )
    types = dict(zip(delivered.rows.columns, map(str, delivered.rows.types), strict=True))
    # By the column itself as well, which lets the engine pass over groups of rows.
    own = " AND ".join(
        f"CAST({quote(column)} AS VARCHAR) = {literal(values[name])} AND "
        f"{quote(column)} = TRY_CAST({literal(values[name])} AS {types[column]})"
        for name, column in theirs.items()
    )
    return dataclasses.replace(delivered, rows=delivered.rows.filter(own), promised=None, of_more=True)


def _may_be_empty(contract: Contract) -> bool:
    """Whether a partition without rows is declared to be right, or accepted in this run."""
    context = step_context()
    accepted = context.run.tags.get(ACCEPTED_TAG, "") if context is not None else ""
    return contract.volume.allow_empty or "0" in {text.strip() for text in accepted.split(",")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Shared:
    """All rows of a file, read by one partition for all."""

    delivered: Delivered
    held: Collection[tuple[str, ...]]
    columns: str
    rows: Path
    file: Path | None


def _shared_rows(
    together: Together, request: Request, source: Source, read: Callable[[Request], Delivered], again: str | None
) -> Delivered:
    """The partition's rows of a file that is read once for all partitions of the step."""
    shared = together.once(again or "", lambda: _shared(together, request, source, read, again))
    if shared.file is not None:
        linked(shared.file, request.raw)
    rows = request.connection.sql(f"SELECT {shared.columns} FROM {_stored(shared.rows)}")
    delivered = dataclasses.replace(shared.delivered, rows=rows, unreadable=None)
    return _of_partition(delivered, shared.held, request, source, late=SourceError)


def _shared(
    together: Together, request: Request, source: Source, read: Callable[[Request], Delivered], again: str | None
) -> _Shared:
    """Read all rows of the file, and write them for all partitions."""
    folder = Path(tempfile.mkdtemp(dir=together.folder()))
    work, rows = folder / "work", folder / "rows.parquet"
    work.mkdir()
    keep = again is None and source.keep
    file = together.incoming(request.settings, source.contract) if keep else request.raw if again else work / "raw"
    delivered = read(dataclasses.replace(request, partition=Partition(None, {}), scratch=work, raw=file))
    held = _held(delivered, source)
    if again is None:
        _note(delivered, held, source.contract)
    with delivered.read():
        _write(delivered.rows, rows, [*_theirs(source).values()])
    columns = _as_they_were(delivered.rows, request.connection, rows)
    shutil.rmtree(work)
    return _Shared(delivered=delivered, held=held, columns=columns, rows=rows, file=file if keep else None)


def _write(rows: duckdb.DuckDBPyRelation, file: Path, by: Collection[str]) -> None:
    """Write the rows by their partitions, those of each in the order in which they came."""
    order = ", ".join(f"CAST({quote(column)} AS VARCHAR)" for column in by)
    rows.query(
        "delivered",
        f"SELECT * EXCLUDE ({quote(_PLACE)}) FROM (SELECT *, row_number() OVER () AS {quote(_PLACE)} FROM delivered) "
        f"ORDER BY {order}, {quote(_PLACE)}",
    ).write_parquet(str(file), compression="lz4", row_group_size=ROW_GROUP)


def _as_they_were(rows: duckdb.DuckDBPyRelation, connection: duckdb.DuckDBPyConnection, file: Path) -> str:
    """SQL of the columns of that file in the types of the rows: Parquet has no name for some."""
    stored = connection.sql(f"FROM {_stored(file)}")
    return ", ".join(
        quote(name) if kind == now else f"CAST({quote(name)} AS {kind}) AS {quote(name)}"
        for name, kind, now in zip(rows.columns, rows.types, stored.types, strict=True)
    )


def _stored(file: Path) -> str:
    return f"read_parquet({literal(str(file))}, hive_partitioning = false)"
