"""Increments: sources that are asked for what has changed since the published rows, and how that becomes a table.

Put here the watermark and the merging by key. Keep out how a source is asked, and what came (``incoming``).

The watermark is not kept anywhere: it is the greatest value in the rows that are published, so it goes back with them
when they do.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import dagster as dg

from mlops_assets.platform.contracts.rules import columns_of, key_columns
from mlops_assets.platform.errors import ContractError, SourceError
from mlops_assets.platform.lake.catalog import literal, quote
from mlops_assets.platform.lake.files import COMPRESSION, ROW_GROUP, parquet_rows
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.plumbing.sources.templates import SINCE, Watermark
from mlops_assets.plumbing.sources.variants import at_least

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from pydantic import BaseModel

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry
    from mlops_assets.platform.lake.session import LakeSession

WHOLE_TAG: Final = "mlops_assets/whole"
"""Tag of a run that asks for all rows, whatever is published: what was deleted in the source is noticed only so."""

ORIGIN: Final = "origin_mark"
"""Fact of a delivery that is merged: whose changes these are, see ``mark_of``."""

_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
_AHEAD: Final = dt.timedelta(days=1)
_LONGEST: Final = 1e10


class Since(dg.Model, dg.Resolvable):
    """Ask only for rows that have changed since those that are published; by their key they take the place of those.

    Attributes:
        column: of the contract, greater in rows that changed later: a time or number of change. Never NULL.
        start: what is asked for first, and where the declaration has changed: a date or moment in ISO 8601, a number,
            or a text, as the column's type is.
        overlap: so much further back is asked each time, since rows may become visible later than they say: seconds for
            times, and days for dates, units for numbers.

    Example:
        >>> import mlops_assets as ma
        >>> since = ma.Since(column="changed", start="2020-01-01T00:00:00", overlap=600)
    """

    column: str
    start: str
    overlap: Annotated[float, at_least(0, most=_LONGEST)] = 0.0

    @classmethod
    def resolve_from_model(cls, context: dg.ResolutionContext, model: BaseModel | str) -> Self:
        """From YAML, where the column alone may stand by mistake."""
        if isinstance(model, str):
            raise ContractError(
                source="since",
                culprit="a text stands where a column and a start are due.",
                remedy="Write {column: changed, start: '2020-01-01 00:00:00'}.",
            )
        found: Self = super().resolve_from_model(context, model)
        return found

    def counts(self, contract: Contract) -> bool:
        """Whether the watermark is a whole number."""
        return bool(columns_of(contract)[self.column].is_integer())

    def is_moment(self, contract: Contract) -> bool:
        """Whether it is a date or a moment, which may be written in any format."""
        kind = columns_of(contract)[self.column]
        return bool(kind.is_date() or kind.is_timestamp())

    def first(self, contract: Contract) -> Watermark:
        """What is asked for first, of the column's type.

        Raises:
            ValueError: the start is none of that type.
        """
        kind = columns_of(contract)[self.column]
        if kind.is_integer():
            if _NUMBER.fullmatch(self.start) is None:
                raise ValueError("no whole number")
            return int(self.start)
        if kind.is_date():
            return dt.date.fromisoformat(self.start)
        if kind.is_timestamp():
            moment = dt.datetime.fromisoformat(self.start)
            if (moment.tzinfo is None) != (kind.timezone is None):
                raise ValueError("no moment with an offset" if kind.timezone else "a moment with an offset")
            return moment
        return self.start

    def require_mergeable(self, contract: Contract, source: str) -> None:
        """Refuse tables whose rows cannot be merged.

        Raises:
            ContractError: the column is not there, may be NULL or has no order, the table has no key, or sets rows
                aside, which the next increment would not bring again.
        """
        kind = columns_of(contract).get(self.column)
        wrong = None
        if kind is None:
            wrong = f"its since names {self.column}, which is no column of the contract."
        elif contract.schema.columns[self.column].nullable:
            wrong = f"its since names {self.column}, which may be NULL."
        elif not (
            kind.is_integer() or kind.is_date() or kind.is_timestamp() or (kind.is_string() and not self.overlap)
        ):
            wrong = f"its since names {self.column}, a {kind}: of that no watermark can be told."
        elif not self._starts(contract):
            wrong = f"its since starts at {self.start!r}, and {self.column} is of type {kind}."
        elif not key_columns(contract):
            wrong = "it is asked for changes, and its contract has no key by which they replace rows."
        elif contract.quarantine is not None:
            wrong = "it is asked for changes, and its contract sets rows aside, which would not come again."
        if wrong is not None:
            raise ContractError(
                source=source,
                culprit=wrong,
                remedy="Name a column of type integer, date or timestamp (a text without overlap) that is never NULL, "
                "in a contract with a key (unique) and without quarantine.",
            )

    def _starts(self, contract: Contract) -> bool:
        try:
            self.first(contract)
        except ValueError:
            return False
        return True


def mark_of(origin: str) -> str:
    """What tells an origin from others: changes of another one are merged with nothing."""
    return hashlib.sha256(origin.encode(errors="surrogateescape")).hexdigest()[:12]


def require_asked(named: Collection[str], written: str, source: str) -> None:
    """Refuse a source that declares a watermark and does not ask by it.

    Raises:
        ContractError: it is not among what is named.
    """
    if SINCE not in named:
        raise ContractError(
            source=source,
            culprit="it declares since, and asks for all rows each time.",
            remedy=f"Name {written} where it is asked; rows of that very value should come again: >=.",
        )


class Increment:
    """What is asked for of one partition, and what it is merged with.

    Attributes:
        since: the watermark; that of the declaration's start where all is asked for.
        of_published: whether the rows that are published are what it is merged with.
    """

    def __init__(
        self, declared: Since, contract: Contract, session: LakeSession, before: Entry | None, *, source: str
    ) -> None:
        """Look up the watermark in what is published of a partition.

        Args:
            declared: by what column.
            contract: the table.
            session: a session that may read its lake.
            before: the publish that is current and made as it would be now; ``None`` to ask for all.
            source: for messages.
        """
        self._declared, self._contract, self._session, self._source = declared, contract, session, source
        self.of_published = before is not None
        self.since: Watermark = declared.first(contract)
        self._base: str | None = None
        if before is not None:
            published = current_table(session, contract, [before.record.partition])
            self._base = f"({session.ibis.compile(published)})"
            [(greatest,)] = session.connection.execute(
                f"SELECT max({quote(declared.column)}) FROM {self._base}"
            ).fetchall()
            if greatest is not None:
                # What overlaps the beginning of time is all there is.
                with suppress(OverflowError):
                    self.since = self._less(greatest)

    def _less(self, greatest: Any) -> Watermark:  # noqa: ANN401  of the column's type
        overlap = self._declared.overlap
        if isinstance(greatest, dt.datetime):
            return greatest - dt.timedelta(seconds=overlap)
        if isinstance(greatest, dt.date):
            return greatest - dt.timedelta(days=overlap)
        return greatest - round(overlap) if isinstance(greatest, int) else str(greatest)

    def merged(self, changes: Path, target: Path) -> Path:
        """The rows of the partition with those changes.

        Args:
            changes: Parquet file of the rows that came.
            target: the Parquet file to write.

        Raises:
            SourceError: a row changed in the future: what changes until then would never be asked for.
        """
        self._refuse_future(changes)
        if self._base is not None:
            _merge(self._session, self._contract, self._base, changes, target)
            return target
        return changes

    def add(self, changes: Path, target: Path) -> Path:
        """The same, for changes that came after one another: what they give is what the next ones are merged with."""
        file = self.merged(changes, target)
        self._base = parquet_rows(file)
        return file

    def _refuse_future(self, changes: Path) -> None:
        column = self._declared.column
        kind = columns_of(self._contract)[column]
        if not (kind.is_date() or kind.is_timestamp()):
            return
        latest = dt.datetime.now(dt.UTC) + _AHEAD
        moment = f"CAST({literal(latest.replace(tzinfo=None).isoformat())} AS TIMESTAMP)"
        [(rows,)] = self._session.connection.execute(
            f"SELECT count(*) FROM {parquet_rows(changes)} WHERE CAST({quote(column)} AS TIMESTAMP) > {moment}"
        ).fetchall()
        if rows:
            raise SourceError(
                source=self._source,
                culprit=f"{column}: {rows:,} rows have changed in the future.",
                remedy="Have that corrected in the source: what changes until then would never be asked for.",
            )


def _merge(session: LakeSession, contract: Contract, base: str, changes: Path, target: Path) -> None:
    names = [quote(name) for name in columns_of(contract)]
    same = " AND ".join(f"old.{quote(key)} IS NOT DISTINCT FROM new.{quote(key)}" for key in key_columns(contract))
    new = parquet_rows(changes)
    session.connection.execute(
        f"COPY (SELECT {', '.join(names)} FROM {base} AS old WHERE NOT EXISTS (FROM {new} AS new WHERE {same}) "
        f"UNION ALL SELECT {', '.join(names)} FROM {new}) TO {literal(str(target))} "
        f"(FORMAT parquet, COMPRESSION {COMPRESSION}, ROW_GROUP_SIZE {ROW_GROUP})"
    )
