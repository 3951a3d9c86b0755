"""A summary as a table: how it is kept beside its partition and read again.

Put here the rows of that table. Keep out how summaries are made and compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from mlops_assets.variance.drift.category_summaries import BUCKETS, Categories
from mlops_assets.variance.drift.number_summaries import Numbers, edges_of, order_of
from mlops_assets.variance.drift.samples import Sample
from mlops_assets.variance.drift.summaries import Summary
from mlops_assets.variance.errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops_assets.variance.drift.summaries import Column

SCHEMA: Final = pa.schema(
    [
        ("column", pa.string()),
        ("kind", pa.string()),
        ("cell", pa.string()),
        ("place", pa.int64()),
        ("level", pa.int64()),
        ("text", pa.string()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("rows", pa.int64()),
    ]
)
"""A summary as a table.

Keyed by ``column``, ``cell`` and ``place``. For each column one row ``total`` (all rows, with the smallest and
largest finite number), rows ``null``, ``nan``, ``below`` and ``above`` (negative and positive infinity) where there are
any, and for numbers a row ``bin`` for each occupied bin (from ``low`` to ``high``, all of one ``level``), for
categories a row ``value`` for each value kept and a row ``bucket`` (``place`` its number) for others. Rows ``sample``
are the values of sampled rows: ``place`` the row, ``text`` or ``low`` the value, ``high`` what orders the sample.
"""

_CELLS: Final = ("total", "null", "nan", "below", "above", "bin", "value", "bucket", "sample")
_COUNTS: Final = ("null", "nan", "below", "above")


def to_table(summary: Summary) -> pa.Table:
    """The summary as a table of `SCHEMA`."""
    rows = _Rows()
    for name, column in summary.columns.items():
        if isinstance(column, Numbers):
            _add_numbers(rows, name, column)
        else:
            _add_categories(rows, name, column)
        if summary.sample is not None:
            values, order = summary.sample.columns[name], summary.sample.order
            if isinstance(column, Numbers) and not pa.types.is_null(values.type):
                rows.add("sample", np.ones(len(order)), low=values.to_numpy(zero_copy_only=False), high=order)
            else:
                rows.add("sample", np.ones(len(order)), texts=values.to_pylist(), high=order)
    return rows.table()


def from_table(table: pa.Table) -> Summary:
    """The summary that a table of `SCHEMA` holds, in any order of rows.

    Raises:
        ComparisonError: the table has not these columns, or holds cells that are no part of a summary.
    """
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise ComparisonError(f"The table of a summary has no column {', '.join(missing)}. Take one made by to_table.")
    kept = _Kept(table)
    columns: dict[str, Column] = {}
    samples: dict[str, pa.Array] = {}
    order = None
    for number, name in enumerate(kept.names):
        numeric = kept.is_numeric(number)
        columns[name] = kept.numbers(number) if numeric else kept.categories(number)
        sampled = kept.where(number, "sample")
        if sampled.stop > sampled.start:
            samples[name] = pa.array(kept.low[sampled], from_pandas=True) if numeric else kept.texts(sampled)
            order = kept.high[sampled]
    return Summary(columns=columns, sample=None if order is None else Sample(columns=samples, order=order))


class _Rows:
    """Rows of `SCHEMA`, column by column."""

    def __init__(self) -> None:
        self._columns: list[tuple[str, str]] = []
        self._lengths: list[tuple[int, int, int]] = []
        self._numbers: dict[str, list[NDArray[Any]]] = {name: [] for name in ("place", "level", "low", "high", "rows")}
        self._texts: list[pa.Array] = []

    def begin(self, column: str, kind: str) -> None:
        """What is added from now on is of that column."""
        self._columns.append((column, kind))

    def add(
        self,
        cell: str,
        rows: NDArray[Any] | Sequence[int],
        *,
        place: NDArray[Any] | None = None,
        level: int = 0,
        low: NDArray[Any] | None = None,
        high: NDArray[Any] | None = None,
        texts: Sequence[str | None] | None = None,
    ) -> None:
        """Cells of one sort."""
        count = len(rows)
        if not count:
            return
        unknown = np.full(count, np.nan)
        given = {
            "place": np.arange(count) if place is None else place,
            "level": np.full(count, level),
            "low": unknown if low is None else low,
            "high": unknown if high is None else high,
            "rows": np.asarray(rows, dtype=np.int64),
        }
        for name, values in given.items():
            self._numbers[name].append(values)
        self._texts.append(pa.nulls(count, pa.string()) if texts is None else pa.array(texts, type=pa.string()))
        self._lengths.append((len(self._columns) - 1, _CELLS.index(cell), count))

    def table(self) -> pa.Table:
        """All of them."""
        if not self._lengths:
            return SCHEMA.empty_table()
        column, cell, count = np.array(self._lengths).T
        labels = {"column": [name for name, _ in self._columns], "kind": [kind for _, kind in self._columns]}
        arrays = {name: _spread(values, np.repeat(column, count)) for name, values in labels.items()}
        arrays["cell"] = _spread(_CELLS, np.repeat(cell, count))
        arrays["text"] = pa.chunked_array(self._texts)
        for name, values in self._numbers.items():
            arrays[name] = pa.array(np.concatenate(values), type=SCHEMA.field(name).type, from_pandas=True)
        return pa.table([arrays[name] for name in SCHEMA.names], schema=SCHEMA)


def _spread(labels: Sequence[str], codes: NDArray[Any]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(codes, pa.array(labels, type=pa.string())).cast(pa.string())


def _add_numbers(rows: _Rows, name: str, column: Numbers) -> None:
    low, high = edges_of(column.bins, column.level)
    rows.begin(name, "number")
    rows.add("total", [column.rows], low=np.array([column.least]), high=np.array([column.greatest]))
    for cell in _COUNTS:
        if getattr(column, cell):
            rows.add(cell, [getattr(column, cell)])
    rows.add("bin", column.counts, level=column.level, low=low, high=high)


def _add_categories(rows: _Rows, name: str, column: Categories) -> None:
    rows.begin(name, "category")
    rows.add("total", [column.rows])
    if column.null:
        rows.add("null", [column.null])
    rows.add("value", list(column.counts.values()), texts=list(column.counts))
    full = np.flatnonzero(column.others)
    rows.add("bucket", column.others[full], place=full)


class _Kept:
    """The table of a summary, in the order of column, cell and place."""

    def __init__(self, table: pa.Table) -> None:
        columns, self.names = _coded(table["column"])
        cells, sorts = _coded(table["cell"])
        if not set(sorts) <= set(_CELLS):
            raise ComparisonError(
                "The table of a summary holds cells that are no part of one. Take one made by to_table."
            )
        keys = columns * len(_CELLS) + np.array([_CELLS.index(cell) for cell in sorts], dtype=np.int64)[cells]
        place = table["place"].to_numpy()
        ascending = (keys[1:] > keys[:-1]) | ((keys[1:] == keys[:-1]) & (place[1:] > place[:-1]))
        if not ascending.all():
            order = np.lexsort([place, keys])
            table, keys = table.take(pa.array(order)), keys[order]
        self._bounds = np.searchsorted(keys, np.arange(len(self.names) * len(_CELLS) + 1))
        self._text, self._kind = table["text"], table["kind"]
        self.place, self.level, self.low, self.high, self.rows = (
            table[name].to_numpy() for name in ("place", "level", "low", "high", "rows")
        )

    def where(self, column: int, cell: str) -> slice:
        """The rows of those cells of that column."""
        key = column * len(_CELLS) + _CELLS.index(cell)
        return slice(int(self._bounds[key]), int(self._bounds[key + 1]))

    def texts(self, rows: slice) -> pa.Array:
        """Their texts."""
        return self._text.slice(rows.start, rows.stop - rows.start).combine_chunks()

    def is_numeric(self, column: int) -> bool:
        """Whether the column holds numbers."""
        return bool(self._kind[int(self._bounds[column * len(_CELLS)])].as_py() == "number")

    def numbers(self, column: int) -> Numbers:
        """The summary of a column of numbers."""
        bins, total = self.where(column, "bin"), self.where(column, "total")
        level = int(self.level[bins][0]) if bins.stop > bins.start else 0
        return Numbers(
            level=level,
            bins=order_of(self.low[bins]) >> level,
            counts=self.rows[bins],
            least=float(self.low[total][0]),
            greatest=float(self.high[total][0]),
            **{cell: int(self.rows[self.where(column, cell)].sum()) for cell in _COUNTS},
        )

    def categories(self, column: int) -> Categories:
        """The summary of a column of categories."""
        values, buckets = self.where(column, "value"), self.where(column, "bucket")
        others = np.zeros(BUCKETS, dtype=np.int64)
        others[self.place[buckets]] = self.rows[buckets]
        counts = dict(zip(self.texts(values).to_pylist(), self.rows[values].tolist(), strict=True))
        return Categories(counts=counts, others=others, null=int(self.rows[self.where(column, "null")].sum()))


def _coded(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    """Codes of texts, and the texts by code; Parquet may have kept them so already."""
    coded = column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    whole = coded.combine_chunks()
    if whole.null_count:
        raise ComparisonError("The table of a summary has rows without column or cell. Take one made by to_table.")
    return whole.indices.to_numpy(zero_copy_only=False).astype(np.int64), whole.dictionary.to_pylist()
