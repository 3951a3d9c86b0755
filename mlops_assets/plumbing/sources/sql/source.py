"""Tables and queries of SQL databases, read whole for each partition.

Put here what is declared of them, and what is asked. Keep out how each kind of database answers (``postgres``,
``mysql``, ``sqlite``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self

import dagster as dg
from pydantic import model_validator

from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.errors import ContractError, SourceError
from mlops_assets.plumbing.sources.delivered import Delivered, Request
from mlops_assets.plumbing.sources.increments import Since, require_asked
from mlops_assets.plumbing.sources.secret import text_of
from mlops_assets.plumbing.sources.source import Source
from mlops_assets.plumbing.sources.sql.copies import TEXT, Copied, Question
from mlops_assets.plumbing.sources.sql.databases import Database, MySql, Postgres, Sqlite
from mlops_assets.plumbing.sources.sql.mysql import copy_mysql
from mlops_assets.plumbing.sources.sql.parameters import parameters_of, require_sql, values_of
from mlops_assets.plumbing.sources.sql.postgres import copy_postgres
from mlops_assets.plumbing.sources.sql.sqlite import copy_sqlite
from mlops_assets.plumbing.sources.templates import SINCE
from mlops_assets.plumbing.sources.variants import Word, above

if TYPE_CHECKING:
    import duckdb

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Delivery

_MOST_PARTS: Final = 2
# PostgreSQL and SQLite count milliseconds in 32 bits.
_LONGEST_SECONDS: Final = 2_000_000


class SqlSource(Source):
    """A table or a query of a SQL database, read in one read-only snapshot.

    In ``query`` and ``where``, ``:partition`` is the partition's key, ``:month`` the value of the partition column
    ``month``; of partitions of time ``:start`` and ``:end`` are the first moment and the one after the last. They are
    texts, moments in ISO 8601 with their offset: PostgreSQL takes one as the type of the column it meets, MySQL is
    given it in UTC as it writes moments itself. SQLite, which has no zones, is given ``2024-01-31 00:00:00`` as the
    partitions' zone has it; ``date(:start)`` is what compares with a day.

    Values keep the types of the database, those of SQLite are text. Numbers without a precision, arrays, JSON and
    intervals are text; bytes are refused.

    Attributes:
        database: where.
        table: the table or view, as the database spells it; its schema may stand before a dot. Or
        query: one statement that reads.
        where: which of the table's rows; all of them without one.
        since: asks for what has changed alone, by ``:since`` in query or where.
        timeout_seconds: how long the statement may take.
        connect_seconds: how long the database may take to answer at all, or a SQLite file may be locked.

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
        ...     partition_columns={"partition": "month"},
        ... )
        >>> orders = ma.SqlSource(
        ...     contract=ORDERS,
        ...     database=ma.Postgres(dsn="host=db dbname=shop user=reader", password=ma.Secret(file="shop_password")),
        ...     query="SELECT order_id FROM orders WHERE ordered >= :start AND ordered < :end",
        ... )
        >>> orders.asset().key.to_user_string()
        'raw/orders'
    """

    EXAMPLE: ClassVar[Mapping[str, Any]] = {
        "database": {
            "type": "postgres",
            "dsn": "host=db dbname=shop user=reader sslmode=verify-full sslrootcert=/etc/ssl/db.pem",
            "password": {"file": "shop_password"},
        },
        "table": "orders",
        "where": "ordered >= :start AND ordered < :end",
        "cron": "0 6 1 * *",
    }

    database: Database
    table: Word = None
    query: Word = None
    where: Word = None
    since: Since | None = None
    timeout_seconds: Annotated[float, above(0, most=_LONGEST_SECONDS)] = 3600.0
    connect_seconds: Annotated[float, above(0, most=_LONGEST_SECONDS)] = 30.0

    KIND: ClassVar[str] = "sql"
    VERSION: ClassVar[str] = "1"
    PLACES: ClassVar[frozenset[str]] = frozenset({"database", "timeout_seconds", "connect_seconds"})

    @model_validator(mode="after")
    def _require_one_question(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ContractError(
                source=self.name,
                culprit="it has both a table and a query, or neither.",
                remedy="Give one of them.",
            )
        if self.query is not None and self.where is not None:
            raise ContractError(
                source=self.name, culprit="it has a where beside its query.", remedy="Put the condition into the query."
            )
        parts = ["table"] if self.table is None else self.table.split(".")
        if len(parts) > _MOST_PARTS or not all(parts):
            raise ContractError(
                source=self.name,
                culprit=f"its table {self.table!r} is no name.",
                remedy="Write table or schema.table without quotes; one that has dots in its name needs a query.",
            )
        for option, text in (("query", self.query), ("where", self.where)):
            if text is not None:
                require_sql(self.name, option, text, self.database.type, self.contract, since=self.since is not None)
        if self.since is not None:
            require_asked(self._named(), ":since", self.name)
            if self.since.column in self.formats:
                raise ContractError(
                    source=self.name,
                    culprit=f"its since names {self.since.column}, which is text in a format of its own: the database "
                    "does not compare it as the moment that it is.",
                    remedy="Compare and select what the database makes a date or moment of it, in a query.",
                )
        return self

    def names_partition(self) -> bool:
        """Whether the condition or the query does."""
        return bool(self._named() - {SINCE})

    def watermark(self) -> Since | None:
        """As declared."""
        return self.since

    def origin(self) -> str:
        """The database."""
        texts = self.database.model_dump(exclude={"password"})
        return repr(
            {name: text_of(text, name) if isinstance(text, str | dg.EnvVar) else text for name, text in texts.items()}
        )

    def _named(self) -> set[str]:
        return {
            name
            for text in (self.query, self.where)
            if text is not None
            for name in parameters_of(text, self.database.type)
        }

    def read(self, request: Request) -> Delivered:
        """Copy what the database holds of a partition."""
        contract = request.contract
        question = Question(
            table=self.table,
            query=self.query,
            where=self.where,
            values=values_of(
                contract, request.partition, zoned=not isinstance(self.database, Sqlite), since=request.since
            ),
            numbers=frozenset([SINCE] if self.since is not None and self.since.counts(contract) else []),
            wanted=_wanted(contract, self.columns),
            personal=bool(contract.personal),
            seconds=self.timeout_seconds,
            connect_seconds=self.connect_seconds,
        )
        began = time.monotonic()
        copied = self._copied(question, request)
        rows = _rows(request)
        self._refuse_compared_as_text(rows, copied.source)
        return Delivered(
            source=copied.source,
            rows=rows,
            file=request.raw,
            facts={
                "database": copied.database,
                "rows": copied.rows,
                "seconds": round(time.monotonic() - began, 3),
            },
        )

    def _refuse_compared_as_text(self, rows: duckdb.DuckDBPyRelation, source: str) -> None:
        # SQLite tells no types, and is asked in a way that compares numbers as such.
        if self.since is None or not self.since.counts(self.contract) or isinstance(self.database, Sqlite):
            return
        theirs = self.columns.get(self.since.column, self.since.column)
        kinds = dict(zip(rows.columns, map(str, rows.types), strict=True))
        if kinds.get(theirs) == TEXT:
            raise SourceError(
                source=source,
                culprit=f"its {theirs} is text, in which 10 comes before 9: what has changed cannot be told by it.",
                remedy=f"Compare and select it as a number in a query: CAST({theirs} AS INTEGER).",
            )

    def reread(self, request: Request, delivery: Delivery) -> Delivered:
        """The copy that was kept."""
        return Delivered(source=delivery.origin, rows=_rows(request), facts=delivery.facts)

    def _copied(self, question: Question, request: Request) -> Copied:
        if isinstance(self.database, Postgres):
            return copy_postgres(self.database, question, request)
        if isinstance(self.database, MySql):
            return copy_mysql(self.database, question, request)
        return copy_sqlite(self.database, question, request)


def _rows(request: Request) -> duckdb.DuckDBPyRelation:
    return request.connection.read_parquet(str(request.raw), hive_partitioning=False)


def _wanted(contract: Contract, columns: Mapping[str, str]) -> frozenset[str]:
    return frozenset(columns.get(name, name) for name in columns_of(contract))
