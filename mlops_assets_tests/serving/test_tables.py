"""Tests of the queries of served tables against a plain reading of the same rows."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.exports.export import open_export, write_export
from mlops_assets.platform.exports.manifest import Mode, ServedAs
from mlops_assets.serving.exports import table as tables
from mlops_assets.serving.exports.table import SPARE, CursorError, Question, ServedTable, TooSlowError
from mlops_assets_tests.serving.sample import (
    CUSTOMERS,
    ELECTIONS,
    KEY,
    MEASURES,
    TABLE,
    export_customers,
    export_predictions,
    predictions,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS: list[dict[str, Any]] = sorted(predictions().to_pylist(), key=lambda row: [row[column] for column in KEY])


def opened(folder: Path, name: str) -> ServedTable:
    return ServedTable(open_export(folder / name, spare=SPARE), name)


@pytest.fixture(name="table", scope="module")
def _table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedTable]:
    folder = tmp_path_factory.mktemp("exports")
    export_predictions(folder)
    table = opened(folder, TABLE)
    yield table
    table.close()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    filters=st.dictionaries(st.sampled_from(KEY), st.none()),
    values=st.fixed_dictionaries(
        {
            "election": st.sampled_from([*ELECTIONS, "1900"]),
            "state": st.sampled_from(["NC", "GA", "ZZ"]),
            "district": st.sampled_from(["01", "14", "99"]),
            "measure": st.sampled_from([*MEASURES, "democratic_share"]),
        }
    ),
    within=st.dictionaries(
        st.sampled_from(["state", "measure", "district"]),
        st.frozensets(st.sampled_from(["NC", "GA", "TX", "turnout", "01", "02", "14"])),
        max_size=2,
    ),
    limit=st.integers(1, 40),
)
def test_the_pages_of_any_question_are_the_rows_that_fit_it_in_order(
    table: ServedTable,
    filters: dict[str, None],
    values: dict[str, str],
    within: dict[str, frozenset[str]],
    limit: int,
) -> None:
    asked = {column: values[column] for column in filters}
    seen = {column: allowed for column, allowed in within.items() if column not in asked}
    expected = [
        tuple(row[column] for column in KEY)
        for row in ROWS
        if all(row[column] == value for column, value in asked.items())
        and all(row[column] in allowed for column, allowed in seen.items())
    ]

    async def pages() -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        cursor: str | None = None
        while True:
            question = Question(filters=asked, within=dict(seen), limit=limit, cursor=cursor)
            items, cursor = await table.page(question)
            assert len(items) <= limit
            found += [tuple(getattr(item, column) for column in KEY) for item in items]
            if cursor is None:
                return found

    assert asyncio.run(pages()) == expected


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text("abcdefgABCDEFG0123456789_-", max_size=60))
def test_no_text_is_taken_for_a_cursor_unless_it_names_a_key(table: ServedTable, text: str) -> None:
    question = Question(filters={}, within={}, limit=1, cursor=text)
    try:
        asyncio.run(table.page(question))
    except CursorError:
        return
    raise AssertionError(text)


def test_many_values_that_may_be_seen_are_one_query(table: ServedTable) -> None:
    many = frozenset({"NC", *(f"X{number}" for number in range(200))})
    items, _ = asyncio.run(table.page(Question(filters={}, within={"state": many}, limit=500)))
    assert {item.state for item in items} == {"NC"}  # type: ignore[attr-defined]  # a type that is made for the table


def test_a_row_is_found_by_its_key_with_each_value_as_it_was_written(tmp_path: Path) -> None:
    export_customers(tmp_path)
    table = opened(tmp_path, CUSTOMERS)
    assert table.newest == "2024-02"
    row = table.one(["2024-02", 4])
    table.close()
    assert row is not None
    assert {name: getattr(row, name) for name in table.columns} == {
        "month": "2024-02",
        "customer": 4,
        "territory": "south",
        "active": True,
        "churn": 0.4,
        "since": "2020-01-04",
        "seen": "2024-01-04T12:00:00.000000+00:00",
        "note": None,
    }


def test_a_slow_query_leaves_the_event_loop_alone_and_ends_at_its_time(
    table: ServedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_MOST_SECONDS", 0.3)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0 LIMIT ?"
    part = tables._Part(endless, [], quick=False)
    monkeypatch.setattr(table, "_parts", lambda _: [part])

    async def asked() -> float:
        longest, before = 0.0, time.monotonic()
        page = asyncio.create_task(table.page(Question(filters={}, within={}, limit=1)))
        while not page.done():
            await asyncio.sleep(0.01)
            now = time.monotonic()
            longest, before = max(longest, now - before), now
        with pytest.raises(TooSlowError):
            await page
        return longest

    assert asyncio.run(asked()) < 0.15


def test_a_table_that_is_swapped_during_a_slow_query_is_closed_after_it(tmp_path: Path) -> None:
    export_predictions(tmp_path)
    table = opened(tmp_path, TABLE)
    filters = {"district": "01", "measure": "turnout"}

    async def asked() -> int:
        page = asyncio.create_task(table.page(Question(filters=filters, within={}, limit=10)))
        await asyncio.sleep(0)
        table.close()
        items, _ = await page
        return len(items)

    assert asyncio.run(asked()) == len(ELECTIONS) * 2
    with pytest.raises(sqlite3.ProgrammingError):
        table.one(["2022", "NC", "01", "turnout"])


SLOW = Question(filters={"district": "01", "measure": "turnout"}, within={}, limit=10)


def test_all_who_wait_their_turn_are_answered_although_the_table_is_swapped(tmp_path: Path) -> None:
    export_predictions(tmp_path)
    table = opened(tmp_path, TABLE)

    async def asked() -> list[int]:
        pages = [asyncio.create_task(table.page(SLOW)) for _ in range(20)]
        await asyncio.sleep(0)
        table.close()
        return [len(items) for items, _ in await asyncio.gather(*pages)]

    assert asyncio.run(asked()) == [len(ELECTIONS) * 2] * 20
    with pytest.raises(sqlite3.ProgrammingError):
        table.one(["2022", "NC", "01", "turnout"])


def test_who_goes_away_during_a_slow_query_takes_nobodys_turn(tmp_path: Path) -> None:
    export_predictions(tmp_path)
    table = opened(tmp_path, TABLE)

    async def asked() -> list[int]:
        for _ in range(5):
            gone = [asyncio.create_task(table.page(SLOW)) for _ in range(6)]
            await asyncio.sleep(0.001)
            for page in gone:
                page.cancel()
        pages = [asyncio.create_task(table.page(SLOW)) for _ in range(10)]
        return [len(items) for items, _ in await asyncio.gather(*pages)]

    assert asyncio.run(asked()) == [len(ELECTIONS) * 2] * 10
    table.close()


def test_a_filter_on_a_rare_value_reads_its_rows_alone(tmp_path: Path) -> None:
    rows = pa.table({"id": range(200_000), "kind": ["rare" if i == 199_999 else "common" for i in range(200_000)]})
    served = ServedAs(scope="things:read", filters=("id", "kind"))
    write_export(tmp_path / "things", {"things": rows}, {}, keys={"things": ["id"]}, served={"things": served})
    table = opened(tmp_path, "things")
    by_kind = table._index({"kind"}, limits=frozenset())
    plan = " ".join(
        str(step)
        for step in table.export.connection.execute(
            f"EXPLAIN QUERY PLAN {table._part({'kind': 'rare'}, {'id': 5, 'kind': 'x'}, {}, by_kind).query}",
            ["rare", 5, 10],
        )
    )
    table.close()
    assert "things(kind) (kind=? AND id>?)" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(
    ("served", "key", "culprit"),
    [
        (ServedAs(scope="predictions:read", filters=("colour",)), KEY, "colour"),
        (ServedAs(scope="predictions:read", limit_by=("region",)), KEY, "region"),
        (ServedAs(scope="predictions:read", latest="value"), KEY, "not in its key"),
        (ServedAs(scope="everything"), KEY, "scope"),
        (ServedAs(scope="predictions:read", mode=Mode.LOOKUP, filters=("state",)), KEY, "look-up alone"),
        (ServedAs(scope="predictions:read"), (), "no key"),
        (ServedAs(scope="predictions:read", values={"colour": ("red",)}), KEY, "colour"),
        (ServedAs(scope="predictions:read", values={"state": ("NC",)}), KEY, "column state holds a value that its"),
        (
            ServedAs(scope="predictions:read", limit_by=("value", "lower", "upper", *KEY)),
            KEY,
            "7 columns limit its rows",
        ),
    ],
)
def test_what_cannot_be_served_as_declared_is_not_exported(
    tmp_path: Path, served: ServedAs, key: tuple[str, ...], culprit: str
) -> None:
    with pytest.raises(ArtifactError, match=culprit):
        write_export(tmp_path, {TABLE: predictions()}, {}, keys={TABLE: key} if key else {}, served={TABLE: served})


def test_a_filter_called_like_a_parameter_is_refused(tmp_path: Path) -> None:
    rows = pa.table({"limit": [1, 2]})
    served = ServedAs(scope="things:read", filters=("limit",))
    with pytest.raises(ArtifactError, match="parameters of its own"):
        write_export(tmp_path, {"things": rows}, {}, keys={"things": ["limit"]}, served={"things": served})


def shops(folder: Path, *limit_by: str) -> ServedTable:
    """Rows of which two in three are of the shop ``theirs``, with values of their own in each other column."""
    owners = [("theirs", "mine", "theirs")[number % 3] for number in range(3000)]
    kinds = [("theirs" if owner == "theirs" else "shared") for owner in owners]
    rows = pa.table({"id": range(3000), "shop": owners, "region": owners, "kind": kinds, "note": kinds, "size": kinds})
    served = ServedAs(scope="things:read", limit_by=limit_by, filters=("id", "kind", "note", *limit_by))
    write_export(folder / "things", {"things": rows}, {}, keys={"things": ["size", "id"]}, served={"things": served})
    return opened(folder, "things")


def steps(table: ServedTable, question: Question) -> int:
    """How many instructions SQLite runs to answer: what its time depends on."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    for part in table._parts(question):
        table.export.connection.set_progress_handler(count, 1)
        table.export.connection.execute(part.query, [*part.parameters, question.limit + 1]).fetchall()
        table.export.connection.set_progress_handler(None, 0)
    return counted


@pytest.mark.parametrize("columns", [("kind",), ("note",), ("kind", "note"), ("size",), ("size", "kind")])
@pytest.mark.parametrize("limit_by", [("shop",), ("shop", "region"), ()])
@pytest.mark.parametrize("seen", [1, 100])
def test_a_question_for_what_a_limit_hides_is_as_much_work_as_one_for_what_is_not_there(
    tmp_path: Path, columns: tuple[str, ...], limit_by: tuple[str, ...], seen: int
) -> None:
    table = shops(tmp_path, *limit_by)
    within = {
        column: frozenset({"mine", *(f"none {number}" for number in range(1, seen))})
        for column in limit_by or ("shop",)
    }
    hidden, absent = (
        steps(table, Question(filters=dict.fromkeys(columns, value), within=within, limit=10))
        for value in ("theirs", "nobodys")
    )
    found, _ = asyncio.run(table.page(Question(filters={"kind": "shared"}, within=within, limit=10)))
    table.close()
    assert hidden == absent
    assert len(found) == 10


@pytest.mark.parametrize("seen", [1, 100])
def test_what_a_limit_lets_be_seen_is_found_by_an_index(tmp_path: Path, seen: int) -> None:
    table = shops(tmp_path, "shop", "region")
    within = {"shop": frozenset({"mine", *map(str, range(seen))}), "region": frozenset({"mine"})}
    for filters in ({}, {"kind": "absent"}, {"size": "absent", "note": "absent"}):
        asked = Question(filters=dict(filters), within={"shop": within["shop"]}, limit=1)
        assert steps(table, asked) < 100 * (seen + 1)
    assert steps(table, Question(filters={}, within=within, limit=1)) < 100 * (seen + 1)
    table.close()


def test_a_limit_to_nothing_lets_nothing_be_seen(table: ServedTable) -> None:
    asked = Question(filters={"measure": "turnout"}, within={"state": frozenset()}, limit=10)
    assert asyncio.run(table.page(asked)) == ([], None)


@pytest.mark.parametrize("whole", [True, False])
def test_a_value_that_is_the_word_for_the_newest_is_not_exported(tmp_path: Path, *, whole: bool) -> None:
    rows = pa.table({"id": [1, 1], "month": ["2024-01", "latest"]})
    served = ServedAs(scope="things:read", latest="month")
    with pytest.raises(ArtifactError, match="column month holds the text 'latest'"):
        write_export(
            tmp_path,
            {"things": rows if whole else pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches())},
            {},
            keys={"things": ["id", "month"]},
            served={"things": served},
        )
