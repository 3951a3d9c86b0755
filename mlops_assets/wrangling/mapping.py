"""Mappings and crosswalks, applied to a table: nothing is dropped, nothing is doubled, and totals are kept.

Put here how a table of correspondences is applied, and the rule that such a table keeps. Keep out where one comes from
(a source, such as ``VersionedFile``), and crosswalks that are counted from linked entities (``variance.crosswalk``).

All is Ibis. What would lose or double rows is looked for when a mapping is applied, and refused. Inside, columns go by
their places, so that none is called like what is counted beside it.

Source: areal interpolation by weights, Goodchild and Lam (1980).
"""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import ibis

from mlops_assets.platform.errors import ContractError, PlatformError

if TYPE_CHECKING:
    import ibis.expr.types as ir

TOLERANCE: Final = 1e-9
"""How far weights may add up to something else than 1: that of their decimal texts."""

_SOURCE: Final = "Mapping by"
_SHARE: Final = "share"
_MOST_SHOWN: Final = 5


_Unmapped = Literal["refuse", "keep"]


class MappingError(PlatformError):
    """A mapping that would lose or double what it is applied to."""


def mapped(
    table: ir.Table,
    crosswalk: ir.Table,
    *,
    on: str | Sequence[str] | Mapping[str, str],
    weight: str | None = None,
    measures: Sequence[str] = (),
    unmapped: _Unmapped = "refuse",
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
        weight: the column of the crosswalk with the shares: none is NULL or negative, and those of each value of ``on``
            add up to 1.
        measures: the columns of the table that are shared out; they become floating-point numbers. All others are
            repeated.
        unmapped: what becomes of rows of which the mapping says nothing (NULL in a column of ``on`` among them):
            ``refuse``, or ``keep`` with NULL in the new columns and the whole measures.
        name_values: let the error name the first values that are not mapped. Only where they are no person's.

    Returns:
        The columns of the table and then those that are new. No row is dropped.

    Raises:
        ContractError: a column is not there, is in both, is of two types or no number; weight without measures, or the
            reverse; another ``unmapped``.
        MappingError: the mapping says two things of a value, or something of none (NULL), its weights are no shares, or
            rows are not mapped.

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
    if unmapped not in get_args(_Unmapped):
        raise ContractError(source=source, culprit=f"unmapped is {unmapped!r:.40}.", remedy="Say 'refuse' or 'keep'.")
    own = [f"own {place}" for place in range(len(table.columns))]
    keys = [f"key {place}" for place in range(len(pairs))]
    new = [f"new {place}" for place in range(len(added))]
    rows = table.select(*(table[name].name(at) for name, at in zip(table.columns, own, strict=True)))
    small = crosswalk.select(
        *(crosswalk[name].name(at) for name, at in zip((*pairs.values(), *added), (*keys, *new), strict=True)),
        *([crosswalk[weight].cast("float64").name(_SHARE)] if weight is not None else []),
    )
    places = dict(zip(table.columns, own, strict=True))
    asked = [places[name] for name in pairs]
    _require_one_answer(source, small, keys, weighted=weight is not None)
    if unmapped == "refuse":
        _require_mapped(source, rows, small, asked, keys, name_values=name_values)
    joined = rows.left_join(small, [rows[ours] == small[key] for ours, key in zip(asked, keys, strict=True)])
    shared = {places[name] for name in measures}
    return joined.select(
        *(
            # Only where no row of the crosswalk fits there is none: in the crosswalk itself none is NULL.
            (joined[at].cast("float64") * joined[_SHARE].fill_null(1.0) if at in shared else joined[at]).name(name)
            for name, at in places.items()
        ),
        *(joined[at].name(name) for name, at in zip(added, new, strict=True)),
    )


def adds_up(crosswalk: ir.Table, weight: str, *, over: str | Sequence[str]) -> ir.BooleanValue:
    """The rule that a crosswalk's weights are shares: none is NULL or negative, and they add up to 1.

    It is for a check of its schema, and what ``mapped`` asks of a crosswalk.

    Args:
        crosswalk: the table that is checked, ``data.table``.
        weight: the column with the shares.
        over: the columns of what is shared out; of a table with partitions, theirs as well.

    Returns:
        For each row whether the weights of its group are so.

    Raises:
        ContractError: the weight is no number.

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
    if not _is_number(crosswalk[weight]):
        raise ContractError(
            source="The rule adds_up",
            culprit=f"its weight {weight} is {crosswalk[weight].type()}.",
            remedy="Name a column of numbers.",
        )
    # As a text, since the engine knows no window within the aggregates of an audit, and no tuple of columns in IN.
    group = _text([crosswalk[name] for name in groups])
    shares = crosswalk.select(group.name("group"), crosswalk[weight].cast("float64").name(_SHARE))
    wrong = shares.group_by("group").agg(_are_shares(shares).name("right"))
    return group.notin(wrong.filter(~wrong.right).group)


def _are_shares(rows: ir.Table) -> ir.BooleanScalar:
    """Whether weights are shares of a whole; never NULL."""
    share = rows[_SHARE]
    near = ((share.sum() - 1).abs() <= TOLERANCE).fill_null(False)  # noqa: FBT003
    sound: ir.BooleanScalar = near & ~(share.isnull() | (share < 0)).any()
    return sound


def _is_number(column: ir.Value) -> bool:
    kind = column.type()
    return bool(kind.is_integer() or kind.is_floating() or kind.is_decimal())


def _text(values: Sequence[ir.Value]) -> ir.StringValue:
    """The values as one text, in which no two combinations are alike."""
    texts = [each.cast("string") for each in values]
    return functools.reduce(
        operator.add, [(each.length().cast("string") + ":" + each).fill_null("NULL") for each in texts]
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
    absent += [
        name for name in (*pairs.values(), *([] if weight is None else [weight])) if name not in crosswalk.columns
    ]
    # Upper and lower case are one to the engine.
    names = Counter(name.lower() for name in (*table.columns, *added))
    twice = [name for name in added if names[name.lower()] > 1]
    unlike, no_numbers = [], []
    if not absent:
        unlike = [
            f"{ours} ({table[ours].type()} and {crosswalk[theirs].type()})"
            for ours, theirs in pairs.items()
            if table[ours].type().copy(nullable=True) != crosswalk[theirs].type().copy(nullable=True)
        ]
        numbers = [*(table[name] for name in measures), *([] if weight is None else [crosswalk[weight]])]
        no_numbers = [f"{each.get_name()} ({each.type()})" for each in numbers if not _is_number(each)]
    for wrong, culprit, remedy in (
        (not pairs, "on names no column", "Name what is compared."),
        (absent, f"{', '.join(absent)} is not there", "Correct on, weight or measures."),
        (twice, f"{', '.join(twice)} is in the table and in the mapping", "Add it to on, or rename or drop one."),
        (unlike, f"{', '.join(unlike)} is of two types", "Cast one to the other's."),
        (no_numbers, f"{', '.join(no_numbers)} is no number", "Cast it, or name another column."),
        ((weight is None) == bool(measures), "weight and measures go together", "Give both, or none of them."),
        ({*measures} & {*pairs}, "a column is compared and shared out", "Take it out of measures."),
        (weight in pairs.values(), "the weight is compared", "Take it out of on."),
    ):
        if wrong:
            raise ContractError(source=source, culprit=f"{culprit}.", remedy=remedy)


def _require_one_answer(source: str, small: ir.Table, keys: Sequence[str], *, weighted: bool) -> None:
    """Refuse a mapping that says two things of a value, or something of none, or whose weights would change totals."""
    empty = small.filter(functools.reduce(operator.or_, [small[key].isnull() for key in keys]))
    if number := _number(empty):
        raise MappingError(
            source=source,
            culprit=f"{number:,} rows of the mapping have no value there (NULL), so that they fit no row.",
            remedy="Correct them, or leave them out of it.",
        )
    groups = small.group_by(*keys)
    if weighted:
        right = groups.agg(_are_shares(small).name("right"))
        wrong = right.filter(~right.right)
        culprit = "have weights that do not add up to 1, or one that is NULL or negative"
        remedy = "Correct the weights in the crosswalk."
    else:
        times = groups.agg(small.count().name("rows"))
        wrong = times.filter(times.rows > 1)
        culprit = "are in the mapping more than once, so that rows would be doubled"
        remedy = "Leave one of each there; a crosswalk that shares out needs weight and measures."
    if number := _number(wrong):
        raise MappingError(source=source, culprit=f"{number:,} values {culprit}.", remedy=remedy)


def _require_mapped(
    source: str, rows: ir.Table, small: ir.Table, asked: Sequence[str], keys: Sequence[str], *, name_values: bool
) -> None:
    known = small.select(*keys).distinct()
    left = rows.anti_join(known, [rows[ours] == known[key] for ours, key in zip(asked, keys, strict=True)])
    values = left.group_by(*asked).agg(rows=left.count())
    [found] = _rows(values.agg(values=values.count(), rows=values.rows.sum().fill_null(0)))
    if not found["rows"]:
        return
    remedy = "Add them to the mapping, or let them be kept: unmapped='keep'."
    if name_values:
        first = _rows(values.order_by(ibis.desc("rows"), *asked).limit(_MOST_SHOWN))
        named = ", ".join(repr("|".join(str(each[name]) for name in asked)) for each in first)
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
