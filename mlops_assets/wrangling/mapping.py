"""Mappings and crosswalks, applied to a table: nothing is dropped, nothing is doubled, and totals are kept.

Put here how a table of correspondences is applied, and the rule that such a table keeps. Keep out where one comes from
(a source, such as ``VersionedFile``), and crosswalks that are counted from linked entities (``variance.crosswalk``).

All is Ibis. What would lose or double rows is looked for when a mapping is applied, and refused.

Source: areal interpolation by weights, Goodchild and Lam (1980).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import ibis

from mlops_assets.platform.errors import ContractError, PlatformError

if TYPE_CHECKING:
    import ibis.expr.types as ir

TOLERANCE: Final = 1e-9
"""How far weights may add up to something else than 1: that of their decimal texts."""

_SOURCE: Final = "Mapping by"
_MOST_SHOWN: Final = 5


class MappingError(PlatformError):
    """A mapping that would lose or double what it is applied to."""


def mapped(
    table: ir.Table,
    crosswalk: ir.Table,
    *,
    on: str | Sequence[str] | Mapping[str, str],
    weight: str | None = None,
    measures: Sequence[str] = (),
    unmapped: Literal["refuse", "keep"] = "refuse",
    name_values: bool = False,
) -> ir.Table:
    """A table with what a mapping or crosswalk says of its rows.

    Without ``weight`` every row gets the other columns of the one row of the mapping that fits. With it a row becomes
    one for each row of the crosswalk that fits, and its measures are shared out by the weights, so that their totals
    stay; whoever groups by the new column afterwards adds them up.

    Args:
        table: the rows.
        crosswalk: the mapping: the columns of ``on``, those to be added, and perhaps the weight.
        on: the columns that are compared, as they are called in both, or a mapping from the table's name to the
            crosswalk's.
        weight: the column of the crosswalk with the shares, which add up to 1 for each value of ``on``.
        measures: the columns of the table that are shared out; they become floating-point numbers.
        unmapped: what becomes of rows of which the mapping says nothing (NULL in a column of ``on`` among them):
            ``refuse``, or ``keep`` with NULL in the new columns and the whole measures.
        name_values: let the error name the first values that are not mapped. Only where they are no person's.

    Returns:
        The columns of the table and then those that are new. No row is dropped.

    Raises:
        ContractError: a column is not there, is in both, or is of two types; weight without measures, or the reverse.
        MappingError: the mapping says two things of a value, its weights do not add up to 1, or rows are not mapped.

    Example:
        >>> import ibis
        >>> import mlops_assets as ma
        >>> sales = ibis.memtable({"territory": ["T1", "T2"], "spend": [10.0, 6.0]})
        >>> cut = {"territory": ["T1", "T2", "T2"], "region": ["N", "N", "S"], "share": [1, 0.5, 0.5]}
        >>> shared = ma.mapped(sales, ibis.memtable(cut), on="territory", weight="share", measures=["spend"])
        >>> totals = shared.group_by("region").agg(spend=shared.spend.sum()).order_by("region")
        >>> totals.to_pyarrow().to_pylist()
        [{'region': 'N', 'spend': 13.0}, {'region': 'S', 'spend': 3.0}]
    """
    pairs = dict(on) if isinstance(on, Mapping) else {name: name for name in ([on] if isinstance(on, str) else on)}
    source = f"{_SOURCE} {', '.join(pairs)}"
    added = [name for name in crosswalk.columns if name not in {*pairs.values(), weight}]
    _require_columns(source, table, crosswalk, pairs, weight, measures, added)
    keys = [f"{name} in the mapping" for name in pairs]
    small = crosswalk.select(
        **dict(zip(keys, (crosswalk[theirs] for theirs in pairs.values()), strict=True)),
        **{name: crosswalk[name] for name in added},
        **({"weight in the mapping": crosswalk[weight].cast("float64")} if weight is not None else {}),
    )
    _require_one_answer(source, small, keys, weighted=weight is not None)
    if unmapped == "refuse":
        _require_mapped(source, table, small, pairs, keys, name_values=name_values)
    joined = table.left_join(small, [table[ours] == small[key] for ours, key in zip(pairs, keys, strict=True)])
    values = {name: joined[name] for name in table.columns}
    if weight is not None:
        share = joined["weight in the mapping"].fill_null(1.0)
        values |= {name: joined[name].cast("float64") * share for name in measures}
    return joined.select(**values, **{name: joined[name] for name in added})


def adds_up(crosswalk: ir.Table, weight: str, *, over: str | Sequence[str]) -> ir.BooleanValue:
    """The rule that a crosswalk's weights add up to 1: for a check of its schema.

    Args:
        crosswalk: the table that is checked, ``data.table``.
        weight: the column with the shares.
        over: the columns of what is shared out; of a table with partitions, theirs as well.

    Returns:
        For each row whether the weights of its group do.

    Example:
        >>> import ibis.expr.datatypes as dt, ibis.expr.types as ir, pandera.ibis as pa
        >>> import mlops_assets as ma
        >>> class Crosswalk(pa.DataFrameModel):
        ...     old: dt.String
        ...     new: dt.String
        ...     share: dt.Float64 = pa.Field(gt=0, le=1)
        ...     class Config:
        ...         unique = ["old", "new"]
        ...     @pa.dataframe_check(name="shares_add_up")
        ...     @classmethod
        ...     def shares_add_up(cls, data: pa.IbisData) -> ir.BooleanValue:
        ...         return ma.adds_up(data.table, "share", over="old")
    """
    groups = [over] if isinstance(over, str) else list(over)
    # As a text, since the engine knows no window within the aggregates of an audit, and no tuple of columns in IN.
    totals = crosswalk.group_by(*groups).agg(total=crosswalk[weight].sum())
    wrong = totals.filter(~_is_one(totals.total)).select(group=_text(totals, groups))
    return _text(crosswalk, groups).notin(wrong.group)


def _is_one(total: ir.NumericValue) -> ir.BooleanValue:
    near: ir.BooleanValue = ((total - 1).abs() <= TOLERANCE).fill_null(False)  # noqa: FBT003
    return near


def _text(rows: ir.Table, columns: Sequence[str]) -> ir.StringValue:
    """The columns as one text, in which no two combinations are alike."""
    return functools.reduce(
        operator.add,
        [
            (text := rows[column].cast("string").fill_null("")).length().cast("string") + ":" + text
            for column in columns
        ],
    )


def _require_columns(
    source: str,
    table: ir.Table,
    crosswalk: ir.Table,
    pairs: Mapping[str, str],
    weight: str | None,
    measures: Sequence[str],
    added: Sequence[str],
) -> None:
    absent = [name for name in (*pairs, *measures) if name not in table.columns]
    absent += [name for name in (*pairs.values(), *([weight] if weight else [])) if name not in crosswalk.columns]
    twice = [name for name in added if name in table.columns]
    unlike = [
        f"{ours} ({table[ours].type()} and {crosswalk[theirs].type()})"
        for ours, theirs in pairs.items()
        if not absent and table[ours].type().copy(nullable=True) != crosswalk[theirs].type().copy(nullable=True)
    ]
    for wrong, culprit, remedy in (
        (not pairs, "on names no column", "Name what is compared."),
        (absent, f"{', '.join(absent)} is not there", "Correct on, weight or measures."),
        (twice, f"{', '.join(twice)} is in the table and in the mapping", "Add it to on, or rename or drop one."),
        (unlike, f"{', '.join(unlike)} is of two types", "Cast one to the other's."),
        (bool(weight) != bool(measures), "weight and measures go together", "Give both, or none of them."),
        ({*measures} & {*pairs}, "a column is compared and shared out", "Take it out of measures."),
    ):
        if wrong:
            raise ContractError(source=source, culprit=f"{culprit}.", remedy=remedy)


def _require_one_answer(source: str, small: ir.Table, keys: Sequence[str], *, weighted: bool) -> None:
    """Refuse a mapping that says two things of a value, or whose weights would change totals."""
    if weighted:
        groups = small.group_by(*keys).agg(total=small["weight in the mapping"].sum())
        wrong = groups.filter(~_is_one(groups.total))
        culprit, remedy = "have weights that do not add up to 1", "Correct the weights in the crosswalk."
    else:
        groups = small.group_by(*keys).agg(rows=small.count())
        wrong = groups.filter(groups.rows > 1)
        culprit = "are in the mapping more than once, so that rows would be doubled"
        remedy = "Leave one of each there; a crosswalk that shares out needs weight and measures."
    if number := _number(wrong):
        raise MappingError(source=source, culprit=f"{number:,} values {culprit}.", remedy=remedy)


def _require_mapped(
    source: str, table: ir.Table, small: ir.Table, pairs: Mapping[str, str], keys: Sequence[str], *, name_values: bool
) -> None:
    known = small.select(*keys).distinct()
    left = table.anti_join(known, [table[ours] == known[key] for ours, key in zip(pairs, keys, strict=True)])
    values = left.group_by(*pairs).agg(rows=left.count())
    [found] = _rows(values.agg(values=values.count(), rows=values.rows.sum().fill_null(0)))
    if not found["rows"]:
        return
    remedy = "Add them to the mapping, or let them be kept: unmapped='keep'."
    if name_values:
        first = _rows(values.order_by(ibis.desc("rows"), *pairs).limit(_MOST_SHOWN))
        named = ", ".join(repr("|".join(str(each[name]) for name in pairs)) for each in first)
        told = f": {named}{' …' if found['values'] > len(first) else ''}"
    else:
        told, remedy = "", f"{remedy} name_values=True names them here, where they are no person's."
    raise MappingError(
        source=source,
        culprit=f"{found['values']:,} values of {found['rows']:,} rows are not in it{told}.",
        remedy=remedy,
    )


def _number(rows: ir.Table) -> int:
    return int(_rows(rows.agg(number=rows.count()))[0]["number"])


def _rows(table: ir.Table) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table.to_pyarrow().to_pylist()
    return found
