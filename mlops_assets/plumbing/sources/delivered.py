"""What passes between a declared source and its kind: what is asked for, and what was delivered.

Put here what every kind is given and gives. Keep out how any of them asks, and what becomes of the rows (``layout``).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import duckdb

from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.sources import room
from mlops_assets.plumbing.sources.hidden import Hidden

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.settings import Settings
    from mlops_assets.plumbing.sources.templates import Watermark

Fact = str | int | float | bool
"""What is said of a delivery in its publish's metadata: never a value of a row, never a secret."""


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """Where rows are made.

    Attributes:
        connection: where DuckDB runs, with the memory and threads of the step.
        scratch: folder of this step alone, which is removed with it.
    """

    connection: duckdb.DuckDBPyConnection
    scratch: Path


@dataclass(frozen=True, kw_only=True)
class Request(Workplace):
    """The partition that is asked for, and where to work.

    Attributes:
        contract: the table.
        partition: which one.
        settings: the operator's.
        raw: where to put what came, as it came, as one file that then stays as it is: it is kept. What is put elsewhere
            is gone with the step.
        since: the watermark of what is published, where the source is asked for what has changed.

    Example:
        >>> import mlops_assets as ma
        >>> def address(request: ma.Request) -> str:
        ...     return f"https://example.org/orders?month={request.partition.values['month']}"
    """

    contract: Contract
    partition: Partition
    settings: Settings
    raw: Path
    since: Watermark | None = None


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """Rows as the source gave them, whole.

    Attributes:
        source: how messages name what was delivered: a file, an address, a table.
        rows: on the request's connection; may be read more than once. Text columns are parsed into the contract's
            types, others are cast where nothing is lost.
        facts: names, sizes, hashes and counts by name.
        file: the same rows in a Parquet file that is like the lake's own, where there is one. It is copied where its
            columns are the contract's, which is a tenth of the work.
        absent: columns of the contract that deliveries of this kind never have, such as those of an older layout: NULL.
        promised: how many rows there are by what the source said; another number is refused.
        unreadable: the error to raise where the engine cannot read the rows to their end; found only then, since it
            takes another reading.
        hidden: the secrets with which it was asked for: a source may repeat them.
        sha256: of the file at ``request.raw``, where it is known.
        typed: whether the source has numbers of its own, which are text here.
        of_more: whether what came holds more than these rows, such as those of other partitions.

    Example:
        >>> import mlops_assets as ma
        >>> def read(request: ma.Request) -> ma.Delivered:
        ...     return ma.Delivered(source="One order", rows=request.connection.sql("SELECT 1 AS order_id"))
    """

    source: str
    rows: duckdb.DuckDBPyRelation
    facts: Mapping[str, Fact] = field(default_factory=dict)
    file: Path | None = None
    absent: Collection[str] = ()
    promised: int | None = None
    unreadable: Callable[[], SourceError] | None = None
    hidden: Hidden = field(default_factory=Hidden)
    sha256: str | None = None
    typed: bool = True
    of_more: bool = False

    @contextmanager
    def read(self) -> Iterator[None]:
        """Let what the engine says of rows that it cannot read out of the block as an error of the source.

        Raises:
            SourceError: they are unreadable.
        """
        try:
            yield
        except duckdb.Error as error:
            if self.unreadable is None or room.is_ours(error):
                raise
            raise self.unreadable() from None

    def require_promised(self, rows: int) -> None:
        """Refuse another number of rows than was promised.

        Raises:
            SourceError: so many are not what was promised.
        """
        if self.promised is not None and rows != self.promised:
            raise SourceError(
                source=self.source,
                culprit=f"it holds {rows:,} rows, its manifest says {self.promised:,}.",
                remedy="Ask the sender which is right; deliver the file again, then its manifest.",
            )
