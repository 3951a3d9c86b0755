"""Sources that are asked for changes alone: the table is what it would be if all of it had been asked for."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import dagster as dg
import ibis.expr.datatypes as types
import pandera.ibis as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlops_assets as ma
from mlops_assets.platform.assets.raw import KEPT, TAG
from mlops_assets.platform.assets.rebuild import rebuild
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake import ledger, raw
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources.increments import WHOLE_TAG
from mlops_assets_tests.plumbing.sources import shop
from mlops_assets_tests.plumbing.sources.api import ApiServer, Asked, Said
from mlops_assets_tests.plumbing.sources.shop import rows, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_assets_tests.plumbing.sources.shop import Ran


class Stock(pa.DataFrameModel):
    """One row for each article."""

    article: types.Int64
    pieces: types.Int64
    changed: types.Timestamp

    class Config:
        """No article twice."""

        unique = ("article",)


class Strict(Stock):
    """With a rule."""

    pieces: types.Int64 = pa.Field(ge=0)


class Counted(Stock):
    """With the number of the change."""

    changed: types.Int64


STOCK = shop.contract("stock", Stock, partitions_def=None, partition_columns={}, volume=ma.Volume(max_loss=1.0))
COUNTED = dataclasses.replace(STOCK, model=Counted)
START = "2020-01-01 00:00:00"
DAY = "2024-03-01 0"


class Warehouse:
    """A SQLite file whose rows a source is asked for."""

    def __init__(self, file: Path) -> None:
        self.file = file
        with closing(sqlite3.connect(file)) as database:
            database.execute("CREATE TABLE stock (article PRIMARY KEY, pieces, changed)")

    def put(self, *changed: tuple[int, int, object]) -> None:
        with closing(sqlite3.connect(self.file)) as database, database:
            database.executemany("INSERT OR REPLACE INTO stock VALUES (?, ?, ?)", changed)

    def delete(self, article: int) -> None:
        with closing(sqlite3.connect(self.file)) as database, database:
            database.execute("DELETE FROM stock WHERE article = ?", (article,))

    def source(self, contract: ma.Contract = STOCK, **options: Any) -> ma.SqlSource:  # noqa: ANN401  a declaration's
        said: dict[str, Any] = {
            "table": "stock",
            "where": "changed >= :since",
            "since": ma.Since(column="changed", start=START),
            "retries": 0,
            **options,
        }
        return ma.SqlSource(contract=contract, database=ma.Sqlite(path=str(self.file)), **said)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    made = Warehouse(tmp_path / "stock.sqlite")
    made.put((1, 10, f"{DAY}1:00:00"), (2, 20, f"{DAY}2:00:00"))
    return made


def publish(source: ma.Source, tags: dict[str, str] | None = None) -> Ran:
    done = run(source, None, tags=tags)
    assert done.success, done.told
    return done


def pieces(table: ma.Contract = STOCK) -> dict[int, int]:
    return {article: count for article, count, _ in rows(table)}


def entry() -> ledger.Entry:
    with LakeSession(Settings.load()) as session:
        session.attach("shop")
        return ledger.current(session, STOCK, [None])[None]


class TestWatermark:
    def test_a_start_in_the_column_s_type_is_written_in_a_format_too(self) -> None:
        asked: list[Asked] = []

        def answer(question: Asked) -> Said:
            asked.append(question)
            return Said(value=[{"article": 1, "pieces": 1, "changed": "2024-03-01T01:00:00"}])

        with ApiServer(answer) as api:
            source = ma.RestSource(
                contract=STOCK,
                url=f"{api.url}/stock",
                query={"after": "{since:%Y-%m-%d}"},
                since=ma.Since(column="changed", start="2020-01-31"),
                retries=0,
            )
            publish(source)
            publish(source)
        assert [each.query["after"] for each in asked] == ["2020-01-31", "2024-03-01"]

    @pytest.mark.parametrize(
        ("start", "contract"),
        [("yesterday", STOCK), ("2020-01-01T00:00:00Z", STOCK), ("2020-01-01", COUNTED), ("", STOCK)],
    )
    def test_a_start_that_is_not_of_the_column_s_type_is_refused(self, start: str, contract: ma.Contract) -> None:
        with pytest.raises(ContractError, match="its since starts at"):
            ma.SqlSource(
                contract=contract,
                database=ma.Sqlite(path="x"),
                table="stock",
                where="changed >= :since",
                since=ma.Since(column="changed", start=start),
            )

    def test_numbers_that_are_stored_as_text_are_compared_as_numbers(self, tmp_path: Path) -> None:
        warehouse = Warehouse(tmp_path / "counted.sqlite")
        with closing(sqlite3.connect(warehouse.file)) as database, database:
            database.execute("DROP TABLE stock")
            database.execute("CREATE TABLE stock (article INTEGER PRIMARY KEY, pieces INTEGER, changed TEXT)")
        warehouse.put((1, 10, "9"))
        source = warehouse.source(COUNTED, since=ma.Since(column="changed", start="0"))
        publish(source)
        warehouse.put((2, 20, "10"))
        publish(source)
        assert pieces(COUNTED) == {1: 10, 2: 20}

    def test_another_origin_is_asked_for_all(self, warehouse: Warehouse, tmp_path: Path) -> None:
        publish(warehouse.source())
        other = Warehouse(tmp_path / "other.sqlite")
        other.put((3, 30, f"{DAY}0:30:00"))
        assert publish(other.source()).metadata["since"] == "the start"
        assert pieces() == {3: 30}

    def test_an_address_whose_parameter_is_called_like_a_secret_is_another_origin(self) -> None:
        def answer(question: Asked) -> Said:
            article = {"DE": 1, "FR": 2}[question.query["country_code"]]
            return Said(value=[{"article": article, "pieces": 1, "changed": "2024-03-01T01:00:00"}])

        with ApiServer(answer) as api:
            for country in ("DE", "FR"):
                publish(
                    ma.RestSource(
                        contract=STOCK,
                        url=f"{api.url}/stock?country_code={country}",
                        query={"after": "{since}"},
                        since=ma.Since(column="changed", start=START),
                        retries=0,
                    )
                )
        assert pieces() == {2: 1}

    def test_a_key_may_be_null(self, warehouse: Warehouse) -> None:
        class Loose(Stock):
            """Its key may be missing."""

            article: types.Int64 = pa.Field(nullable=True)

        loose = dataclasses.replace(STOCK, model=Loose)
        with closing(sqlite3.connect(warehouse.file)) as database, database:
            database.execute("DROP TABLE stock")
            database.execute("CREATE TABLE stock (article, pieces, changed)")
            database.execute("INSERT INTO stock VALUES (NULL, 1, '2024-03-01 01:00:00')")
        publish(warehouse.source(loose))
        publish(warehouse.source(loose))
        assert [(row[0], row[1]) for row in rows(loose)] == [(None, 1)]

    def test_changes_that_were_refused_are_not_taken_for_the_whole_and_come_again(self, warehouse: Warehouse) -> None:
        strict = dataclasses.replace(STOCK, model=Strict)
        publish(warehouse.source(strict))
        warehouse.put((3, -1, f"{DAY}3:00:00"))
        assert not run(warehouse.source(strict), None).success
        [refused] = [each for each in raw.listed(Settings.load(), STOCK) if each.since]
        told = run(warehouse.source(STOCK), None, tags={TAG: refused.sha256}).told
        assert "holds changes alone" in told
        publish(warehouse.source(STOCK))
        assert pieces() == {1: 10, 2: 20, 3: -1}

    def test_first_all_is_asked_for_then_what_has_changed(self, warehouse: Warehouse) -> None:
        assert publish(warehouse.source()).metadata["since"] == "the start"
        warehouse.put((2, 21, f"{DAY}3:00:00"), (3, 30, f"{DAY}3:30:00"))
        done = publish(warehouse.source())
        assert done.metadata["since"] == "2024-03-01 02:00:00"
        # The row of the watermark itself comes again.
        assert done.metadata["rows"] == 2
        assert pieces() == {1: 10, 2: 21, 3: 30}

    def test_nothing_new_leaves_the_table_as_it_is(self, warehouse: Warehouse) -> None:
        publish(warehouse.source())
        before = entry()
        publish(warehouse.source(where="changed > :since"))
        publish(warehouse.source(where="changed > :since"))
        assert entry().record.content_hash == before.record.content_hash
        assert pieces() == {1: 10, 2: 20}

    def test_a_row_that_became_visible_late_is_found_by_the_overlap(self, warehouse: Warehouse) -> None:
        source = warehouse.source(since=ma.Since(column="changed", start=START, overlap=3600))
        publish(source)
        warehouse.put((3, 30, f"{DAY}1:30:00"))
        publish(source)
        assert 3 in pieces()

    def test_it_goes_back_with_the_rows_that_are_published(self, warehouse: Warehouse) -> None:
        publish(warehouse.source())
        warehouse.put((3, 30, f"{DAY}3:00:00"))
        publish(warehouse.source())
        with LakeSession(Settings.load()) as session:
            [first, _] = ledger.history(session, "shop", "raw/stock")
        told = first.record.delivery
        assert told is not None
        publish(warehouse.source(), {TAG: told.sha256})
        assert pieces() == {1: 10, 2: 20}
        publish(warehouse.source())
        assert pieces() == {1: 10, 2: 20, 3: 30}

    def test_numbers_of_changes_are_watermarks_too(self, tmp_path: Path) -> None:
        warehouse = Warehouse(tmp_path / "counted.sqlite")
        warehouse.put((1, 10, 1), (2, 20, 2))
        source = warehouse.source(COUNTED, since=ma.Since(column="changed", start="0"))
        publish(source)
        warehouse.put((1, 11, 3))
        assert publish(source).metadata["rows"] == 2
        assert pieces(COUNTED) == {1: 11, 2: 20}

    def test_another_declaration_asks_for_all_again(self, warehouse: Warehouse) -> None:
        publish(warehouse.source())
        warehouse.delete(1)
        publish(warehouse.source(where="changed >= :since AND pieces > 0"))
        assert pieces() == {2: 20}

    def test_a_run_s_tag_asks_for_all_again_which_alone_notices_what_was_deleted(self, warehouse: Warehouse) -> None:
        publish(warehouse.source())
        warehouse.delete(1)
        publish(warehouse.source())
        assert pieces() == {1: 10, 2: 20}
        publish(warehouse.source(), {WHOLE_TAG: ""})
        assert pieces() == {2: 20}

    def test_a_row_from_the_future_is_refused(self, warehouse: Warehouse) -> None:
        publish(warehouse.source())
        warehouse.put((3, 30, "2999-01-01 00:00:00"))
        done = run(warehouse.source(), None)
        assert "changed: 1 rows have changed in the future" in done.told
        assert pieces() == {1: 10, 2: 20}

    def test_a_row_twice_in_one_answer_is_refused(self, warehouse: Warehouse) -> None:
        publish(warehouse.source())
        twice = warehouse.source(
            table=None,
            where=None,
            query="SELECT * FROM stock WHERE changed >= :since UNION ALL SELECT * FROM stock WHERE changed >= :since",
        )
        assert not run(twice, None).success
        assert pieces() == {1: 10, 2: 20}

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), max_size=4), min_size=1, max_size=5))
    def test_whatever_changes_the_table_is_that_of_the_source(
        self, tmp_path_factory: pytest.TempPathFactory, rounds: Sequence[Sequence[tuple[int, int]]]
    ) -> None:
        warehouse = Warehouse(tmp_path_factory.mktemp("any") / "stock.sqlite")
        warehouse.put((0, 0, f"{DAY}0:00:00"))
        source, minute, truth = warehouse.source(), 0, {0: 0}
        publish(source, {WHOLE_TAG: ""})
        for changes in rounds:
            for article, count in changes:
                minute += 1
                warehouse.put((article, count, f"{DAY}1:{minute:02}:00"))
                truth[article] = count
            publish(source)
            assert pieces() == truth


class TestKept:
    def test_the_whole_and_the_changes_are_read_again_together(self, warehouse: Warehouse) -> None:
        publish(warehouse.source())
        warehouse.put((2, 21, f"{DAY}3:00:00"))
        publish(warehouse.source())
        warehouse.put((3, 30, f"{DAY}4:00:00"))
        publish(warehouse.source())
        before = entry().record.content_hash
        warehouse.file.unlink()
        publish(warehouse.source(), {TAG: KEPT})
        assert entry().record.content_hash == before
        assert pieces() == {1: 10, 2: 21, 3: 30}

    def test_a_publish_is_rebuilt_from_them_with_an_equal_hash(self, warehouse: Warehouse, tmp_path: Path) -> None:
        publish(warehouse.source())
        warehouse.put((2, 21, f"{DAY}3:00:00"))
        publish(warehouse.source())
        home = tmp_path / "rebuilt"
        home.mkdir()
        defs = dg.Definitions(assets=[warehouse.source().asset()])
        assert rebuild([defs], "raw/stock", None, settings=Settings.load(), home=home).equal

    def test_none_of_them_goes_while_the_table_is_current(self, warehouse: Warehouse) -> None:
        for hour in range(3, 6):
            publish(warehouse.source())
            warehouse.put((hour, 30, f"{DAY}{hour}:00:00"))
        publish(warehouse.source())
        day_ahead = dt.timedelta(days=2).total_seconds()
        with LakeSession(Settings.load()) as session, pytest.MonkeyPatch.context() as patch:
            now = time.time()
            patch.setattr(time, "time", lambda: now + 10 * day_ahead)
            assert raw.expirable(session, "shop", older_than_seconds=day_ahead) == []


class TestRest:
    def test_a_service_is_asked_by_the_watermark(self) -> None:
        asked: list[str] = []

        def answer(question: Asked) -> Said:
            since = question.query["since"]
            asked.append(since)
            rows = [
                {"article": n, "pieces": n * 10, "changed": f"2024-03-0{n}T00:00:00"}
                for n in (1, 2)
                if f"2024-03-0{n}T00:00:00" >= since
            ]
            return Said(value=rows)

        with ApiServer(answer) as server:
            source = ma.RestSource(
                contract=STOCK,
                url=f"{server.url}/stock",
                query={"since": "{since}"},
                since=ma.Since(column="changed", start="2020-01-01T00:00:00"),
                retries=0,
            )
            publish(source)
            publish(source)
        assert asked == ["2020-01-01T00:00:00", "2024-03-02T00:00:00"]
        assert pieces() == {1: 10, 2: 20}


class TestDeclaration:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"where": None}, "asks for all rows each time"),
            ({"since": ma.Since(column="day", start=START)}, "which is no column"),
            ({"since": None}, "names :since"),
        ],
    )
    def test_what_could_not_be_asked_is_refused(self, warehouse: Warehouse, change: dict[str, Any], told: str) -> None:
        with pytest.raises(ContractError, match=told):
            warehouse.source(**change)

    def test_a_table_without_key_is_refused(self, warehouse: Warehouse) -> None:
        class Loose(pa.DataFrameModel):
            article: types.Int64
            pieces: types.Int64
            changed: types.Timestamp

        with pytest.raises(ContractError, match="no key"):
            warehouse.source(dataclasses.replace(STOCK, model=Loose))

    def test_yaml_says_the_same(self, warehouse: Warehouse) -> None:
        source = ma.SqlSource.resolve_from_yaml(
            f"""
            contract: mlops_assets_tests.plumbing.sources.test_increments.STOCK
            database: {{type: sqlite, path: {warehouse.file}}}
            table: stock
            where: changed >= :since
            since: {{column: changed, start: "{START}"}}
            """
        )
        publish(source)
        assert pieces() == {1: 10, 2: 20}
