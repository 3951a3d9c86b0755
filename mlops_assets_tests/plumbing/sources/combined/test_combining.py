"""Combining: whatever sources hold and columns are called, rows and account follow the rule, read plainly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import ibis
import ibis.expr.datatypes as dt
import pandera.ibis as pa
import pyarrow as arrow  # noqa: ICN001  pa is pandera's
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import mlops_assets as ma
from mlops_assets.plumbing.sources.combined.combining import Account, combined
from mlops_assets.plumbing.sources.combined.ranked import ranked
from mlops_assets_tests.plumbing.sources.shop import contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Row = tuple[Any, ...]

# Parameters of Ibis, and what columns are or were called inside.
AWKWARD: Final = (
    *("self", "exprs", "by", "having", "metrics", "key", "rows", "times", "without", "missing", "repeated", "more"),
    *("sources", "several", "example", "winner", "filled", "disagreeing", "rows_of_it", "given up 0", "winner 0"),
    *("key 0", "key 0 there", "source 0", "source 1", "source 0 value 0", "0", "1"),
)
NAMES: Final = st.sampled_from(AWKWARD) | st.text("aB \".'{}%é", min_size=1, max_size=4)
KINDS: Final[Mapping[Any, tuple[Any, st.SearchStrategy[Any]]]] = {
    dt.int64: (arrow.int64(), st.integers(0, 2)),
    dt.string: (arrow.string(), st.sampled_from(["", "a", "A", "a|b", "NULL"])),
    dt.float64: (arrow.float64(), st.sampled_from([0.0, 0.5, float("inf")])),
}


class Drawn(NamedTuple):
    """A source: its name for each column that it has, and its rows by key; of a column that it lacks they say NULL."""

    called: Mapping[str, str]
    rows: Mapping[Row, Row]


class Case(NamedTuple):
    """What is combined: the columns with their types, those of the key first, and the sources."""

    kinds: Mapping[str, Any]
    key: Sequence[str]
    sources: Sequence[Drawn]
    fill: bool
    origin: str | None


def names(number: int) -> st.SearchStrategy[list[str]]:
    return st.lists(NAMES, min_size=number, max_size=number, unique_by=str.lower)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    keys, values = draw(st.integers(1, 2)), draw(st.integers(0, 3))
    *columns, origin = draw(names(keys + values + 1))
    kinds = {column: draw(st.sampled_from(list(KINDS))) for column in columns}
    of_key, others = columns[:keys], columns[keys:]
    sources = []
    for _ in range(draw(st.integers(2, 4))):
        has = [column for column in others if draw(st.booleans())]
        called = dict(zip([*of_key, *has], draw(names(keys + len(has))), strict=True))
        row = [KINDS[kinds[each]][1] | st.none() if each in has else st.none() for each in others]
        found = st.dictionaries(st.tuples(*(KINDS[kinds[each]][1] for each in of_key)), st.tuples(*row), max_size=4)
        sources.append(Drawn(called, draw(found)))
    return Case(kinds, of_key, sources, draw(st.booleans()), draw(st.sampled_from([None, origin])))


def expected(case: Case) -> tuple[set[Row], Account]:
    """The rule, key by key and value by value."""
    others = [column for column in case.kinds if column not in case.key]
    rows: set[Row] = set()
    taken = [0] * len(case.sources)
    several = filled = 0
    disagreeing = set()
    columns = dict.fromkeys(others, 0)
    for key in {key for source in case.sources for key in source.rows}:
        having = [number for number, source in enumerate(case.sources) if key in source.rows]
        own = list(case.sources[having[0]].rows[key])
        said = list(own)
        for number in having[1:]:
            for place, value in enumerate(case.sources[number].rows[key]):
                if case.fill and said[place] is None:
                    said[place] = value
        for place, column in enumerate(others):
            told = {case.sources[number].rows[key][place] for number in having} - {None}
            if told - {said[place]}:
                columns[column] += 1
                disagreeing.add(key)
        taken[having[0]] += 1
        several += len(having) > 1
        filled += said != own
        rows.add((*key, *said, *([] if case.origin is None else [f"source {having[0]}"])))
    return rows, Account(
        taken={f"source {number}": rows_of_it for number, rows_of_it in enumerate(taken)},
        given={f"source {number}": len(source.rows) for number, source in enumerate(case.sources)},
        several=several,
        disagreeing=len(disagreeing),
        columns={column: number for column, number in columns.items() if number},
        filled=filled,
        example=min(("|".join(map(str, key)) for key in disagreeing), default=None),
    )


# Cases are small as they are drawn; to make them smaller would take minutes.
@settings(max_examples=40, phases=[Phase.generate])
@given(cases())
def test_rows_and_account_are_those_of_a_plain_reading_of_the_rule(case: Case) -> None:
    kinds = {**case.kinds, **({} if case.origin is None else {case.origin: dt.string})}
    model = pa.DataFrameSchema(
        {column: pa.Column(kind, nullable=column not in case.key) for column, kind in kinds.items()},
        unique=list(case.key),
    )
    table = contract("made", model, partitions_def=None, partition_columns={})
    parts = []
    for number, (called, rows) in enumerate(case.sources):
        held = [dict(zip(case.kinds, (*key, *values), strict=True)) for key, values in rows.items()]
        delivered = arrow.table(
            {theirs: arrow.array([row[ours] for row in held], KINDS[kinds[ours]][0]) for ours, theirs in called.items()}
        )
        part = ma.Part(table=f"raw/source_{number}", name=f"source {number}", columns=called)
        parts.append(
            ranked(
                part,
                ibis.memtable(delivered),
                table,
                ma.Partition(None, {}),
                key=case.key,
                personal=(),
                filled_in=[] if case.origin is None else [case.origin],
                whole=True,
                telling=True,
            )
        )
    made, account = combined(parts, table, case.key, fill=case.fill, origin=case.origin, telling=True)
    wanted, told = expected(case)
    assert made.columns == tuple(kinds)
    found = list(zip(*made.to_pyarrow().to_pydict().values(), strict=True))
    assert (len(found), set(found)) == (len(wanted), wanted)
    assert account == told
