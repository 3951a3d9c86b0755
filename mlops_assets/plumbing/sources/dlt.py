"""Resources of dlt by declaration: what one yields for a partition, behind the same audit as every other source.

Put here what a ``DltSource`` declares, and how what it yields becomes rows. Keep out dlt's pipelines, destinations,
schemas and state: none of them is used.

A resource is only iterated. So dlt keeps nothing (no state, no telemetry, no file in the home folder), and a run gets
the same whatever ran before. It reads its configuration as always (variables, ``.dlt`` in the working folder).
"""

from __future__ import annotations

import datetime as dt
import importlib
import re
import traceback
from collections.abc import Mapping
from decimal import Decimal
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar, Final
from uuid import UUID

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.errors import (
    ContractError,
    PlatformError,
    SettingsError,
    SourceError,
    SourceUnavailableError,
)
from mlops_assets.platform.lake.catalog import literal, quote
from mlops_assets.platform.withheld import reason, withhold
from mlops_assets.plumbing.sources import room
from mlops_assets.plumbing.sources.delivered import Delivered, Request
from mlops_assets.plumbing.sources.formats.text_files import TextFiles
from mlops_assets.plumbing.sources.secret import Secret, hidden_of
from mlops_assets.plumbing.sources.source import Source
from mlops_assets.plumbing.sources.templates import filled, known_names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    import duckdb

    from mlops_assets.plumbing.sources.hidden import Hidden

_BATCH: Final = 20_000
_AWAY: Final = frozenset({408, 425, 429})
_SERVER_ERROR: Final = 500


class DltSource(Source):
    """A resource of dlt, iterated for each partition.

    Attributes:
        resource: the dotted name of a function that gives a resource or a source of dlt (``@dlt.resource``,
            ``@dlt.source``): ``shop.pipes.orders``, ``dlt.sources.rest_api.rest_api_source``.
        arguments: what it is called with. In their texts, however deep, ``{partition}``, ``{month}``, ``{start}`` and
            the like are filled in; other braces are left alone.
        secrets: arguments that are secrets. A dotted name leads into an argument: ``config.client.auth.token``.
        take: the name of the resource, where it gives several.

    Example:
        >>> import dagster as dg, ibis.expr.datatypes as dt, pandera.ibis as pa
        >>> import mlops_assets as ma
        >>> class Orders(pa.DataFrameModel):
        ...     month: dt.String
        ...     order_id: dt.Int64
        >>> ORDERS = ma.Contract(
        ...     layer="raw",
        ...     table="orders",
        ...     model=Orders,
        ...     lake=ma.Lake("curated"),
        ...     description="What was ordered.",
        ...     owners=["team:sales"],
        ...     partitions_def=dg.MonthlyPartitionsDefinition("2024-01", fmt="%Y-%m"),
        ...     partition_columns={"month": "month"},
        ... )
        >>> orders = ma.DltSource(
        ...     contract=ORDERS,
        ...     resource="shop.pipes.orders",
        ...     arguments={"month": "{month}"},
        ...     secrets={"token": ma.Secret(file="orders_token")},
        ...     cron="0 6 1 * *",
        ... )
        >>> defs = ma.build_defs([orders], name="shop")
    """

    resource: str
    arguments: Mapping[str, Any] = {}
    secrets: dict[str, Secret] = {}  # noqa: RUF012  pydantic copies it, and Dagster knows a dict of these alone
    take: str | None = None

    KIND: ClassVar[str] = "dlt"
    VERSION: ClassVar[str] = "1"
    PLACES: ClassVar[frozenset[str]] = frozenset({"secrets"})

    EXAMPLE: ClassVar[Mapping[str, Any]] = {
        "resource": "shop.pipes.orders",
        "arguments": {"month": "{partition}"},
        "secrets": {"token": {"file": "orders_token"}},
        "cron": "0 6 1 * *",
    }

    @property
    def _source(self) -> str:
        return f"Resource {self.resource} of dlt"

    def names_partition(self) -> bool:
        """Whether an argument does."""
        texts: list[str] = []
        _texts(self.arguments, texts.append)
        return any(self._named().search(text) for text in texts)

    def read(self, request: Request) -> Delivered:
        """Call the function, and iterate the resource to its end."""
        secrets = {name: secret.read(request.settings) for name, secret in self.secrets.items()}
        hidden = hidden_of(self.secrets, request.settings)
        partition = request.partition
        arguments = _texts(
            self.arguments,
            lambda text: self._named().sub(lambda field: filled(field[0], self.contract, partition), text),
        )
        for name, text in secrets.items():
            self._put(arguments, name, text)
        try:
            resource = self._resource(self._function()(**arguments))
            rows = self._rows(iter(resource), request)
        except PlatformError:
            raise
        except (Exception, SystemExit) as error:
            if room.is_ours(error):
                raise
            raise self._told(error, hidden) from None
        return Delivered(source=self._source, rows=rows, facts={"resource": resource.name}, hidden=hidden)

    def _named(self) -> re.Pattern[str]:
        """What is filled in: the names of the partition between single braces."""
        names = "|".join(map(re.escape, known_names(self.contract))) or r"(?!)"
        return re.compile(rf"(?<!\{{)\{{(?:{names})(?::[^{{}}]*)?\}}(?!\}})")

    def _function(self) -> Callable[..., Any]:
        module, _, name = self.resource.rpartition(".")
        try:
            importlib.import_module("dlt")
        except ImportError:
            raise SettingsError(
                source=self._source, culprit="dlt is not installed.", remedy="Install mlops-assets[dlt]."
            ) from None
        try:
            found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ContractError(
                source=self._source,
                culprit=f"it is not there ({type(error).__name__}).",
                remedy="Write package.module.function, as it would be imported.",
            ) from None
        return found

    def _resource(self, given: Any) -> Any:  # noqa: ANN401  dlt's
        """The one resource that is meant of what the function gave."""
        from dlt import extract  # noqa: PLC0415  an extra

        several = list(given.resources.values()) if isinstance(given, extract.DltSource) else given
        several = list(several) if isinstance(several, list | tuple) else [several]
        if strange := [each for each in several if not isinstance(each, extract.DltResource)]:
            raise ContractError(
                source=self._source,
                culprit=f"it gives {type(strange[0]).__name__}, which is no resource of dlt.",
                remedy="Name a function with @dlt.resource or @dlt.source.",
            )
        meant = [each for each in several if self.take in {None, each.name}]
        if len(meant) != 1:
            raise ContractError(
                source=self._source,
                culprit=f"it gives the resources {', '.join(each.name for each in several)}, and take is {self.take}.",
                remedy="Name one of them in take.",
            )
        return meant[0]

    def _put(self, arguments: dict[str, Any], name: str, secret: str) -> None:
        *outer, last = name.split(".")
        inner: Any = arguments
        for part in outer:
            inner = inner.setdefault(part, {}) if isinstance(inner, dict) else None
        if not isinstance(inner, dict):
            raise ContractError(
                source=self._source, culprit=f"its secret {name} leads into no mapping.", remedy="Correct its name."
            )
        inner[last] = secret

    def _rows(self, items: Iterator[Any], request: Request) -> duckdb.DuckDBPyRelation:
        """What the resource yields: mappings as texts, frames of Arrow with their types."""
        first = list(islice(items, 1))
        every = chain(first, items)
        if not first or isinstance(first[0], Mapping):
            with TextFiles(request.scratch, self._source) as texts:
                while batch := list(islice(every, _BATCH)):
                    self._require(batch, Mapping)
                    texts.add(_columns(batch, self._source))
                named = [self.columns.get(name, name) for name in columns_of(self.contract)]
                return texts.relation(request.connection, named)
        files: list[str] = []
        schemas: list[pa.Schema] = []
        for item in every:
            self._require([item], pa.Table | pa.RecordBatch)
            schemas.append(item.schema)
            files.append(str(request.scratch / f"frame-{len(files)}.parquet"))
            pq.write_table(pa.table(item).replace_schema_metadata(), files[-1])
        if differing := _differing(schemas):
            return request.connection.sql(
                " UNION ALL BY NAME ".join(
                    _as_texts(file, differing & {*schema.names}) for file, schema in zip(files, schemas, strict=True)
                )
            )
        return request.connection.read_parquet(files, union_by_name=True, hive_partitioning=False)

    def _require(self, items: Sequence[Any], kind: Any) -> None:  # noqa: ANN401  a class or several
        if strange := [each for each in items if not isinstance(each, kind)]:
            raise SourceError(
                source=self._source,
                culprit=f"it yields {type(strange[0]).__name__}, or rows in two ways.",
                remedy="Let it yield mappings alone, or tables of Arrow alone.",
            )

    def _told(self, error: BaseException, hidden: Hidden) -> SourceError:
        """The error for what was raised, whose text is kept for its owner, without secrets."""
        cause = _cause(error)
        kind = SourceUnavailableError if _is_away(cause) else SourceError
        kept = withhold(DltMessagesError(hidden.said("".join(traceback.format_exception(error)))), source=self._source)
        status = getattr(getattr(cause, "response", None), "status_code", None)
        return kind(
            source=self._source,
            culprit=f"it failed with {f'HTTP status {status}' if status else hidden.said(reason(cause))}.",
            remedy=kept.remedy,
        )


class DltMessagesError(Exception):
    """What dlt and a resource's code raised."""


def _cause(error: BaseException) -> BaseException:
    """Why dlt says that a resource failed."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
        if _is_away(error) or hasattr(error, "response"):
            break
    return error


def _is_away(error: BaseException) -> bool:
    from requests import exceptions  # noqa: PLC0415  dlt's own

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return error.response.status_code in _AWAY or error.response.status_code >= _SERVER_ERROR
    return isinstance(error, exceptions.ConnectionError | exceptions.Timeout | ConnectionError | TimeoutError)


def _texts(value: Any, change: Callable[[str], Any]) -> Any:  # noqa: ANN401  of a declaration
    """The value with all texts in it changed, however deep."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _texts(each, change) for name, each in value.items()}
    return [_texts(each, change) for each in value] if isinstance(value, list | tuple) else value


def _differing(schemas: Sequence[pa.Schema]) -> set[str]:
    """The columns that have several types."""
    kinds: dict[str, set[pa.DataType]] = {}
    for schema in schemas:
        for field in schema:
            kinds.setdefault(field.name, set()).add(field.type)
    return {name for name, found in kinds.items() if len(found) > 1}


def _as_texts(file: str, names: Collection[str]) -> str:
    """SQL of a frame with these columns as texts: the engine's own type for several may change a long identifier."""
    texts = ", ".join(f"CAST({quote(name)} AS VARCHAR) AS {quote(name)}" for name in sorted(names))
    chosen = f"* REPLACE ({texts})" if texts else "*"
    return f"SELECT {chosen} FROM read_parquet({literal(file)}, hive_partitioning = false)"


def _columns(rows: Sequence[Mapping[Any, Any]], source: str) -> dict[str, list[str | None]]:
    names = dict.fromkeys(name for row in rows for name in row)
    if strange := [name for name in names if not isinstance(name, str)]:
        raise SourceError(
            source=source,
            culprit=f"it yields mappings with {type(strange[0]).__name__} for a column's name.",
            remedy="Let it yield mappings of texts to values.",
        )
    return {name: [_text(row.get(name)) for row in rows] for name in names}


def _text(value: object) -> str | None:
    """A value as text that a layout reads: nested ones as JSON, times as ISO 8601.

    Raises:
        TypeError: it is no value.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Mapping | list | tuple):
        return msgspec.json.encode(value).decode()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, int | float | UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no value")
