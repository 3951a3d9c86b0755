"""Kept deliveries when a person is erased: only those stay that rows prove to hold nobody of the erased."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import os
import random
import sqlite3
import threading
import time
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, Final

import dagster as dg
import ibis.expr.datatypes as dt
import openpyxl
import pandera.ibis as pandera
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import mlops_assets as ma
from mlops_assets import cli
from mlops_assets.platform.assets.raw import KEPT, TAG
from mlops_assets.platform.assets.rebuild import rebuild
from mlops_assets.platform.durable_files import taking_turns
from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake import erasure, expiry, ledger, matching, raw
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.unproven import HOLDS, Unproven, unproven
from mlops_assets.platform.leftovers import Words
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.plumbing.sources import shop
from mlops_assets_tests.plumbing.sources.api import ApiServer, Said
from mlops_assets_tests.plumbing.sources.shop import CUSTOMERS, MONTHS, rows, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from typer.testing import Result

    from mlops_assets.platform.contracts.contract import Contract

PEOPLE: Final = dataclasses.replace(CUSTOMERS, subject={"customer": "name"}, volume=ma.Volume(max_loss=1.0))
ASSET: Final = "raw/customers"
GRACE: Final = b"name,visits\nGrace Hopper,4\n"
ADA: Final = b"name,visits\nAda Lovelace,3\n"


class Guest(shop.Customer):
    """Whose name may be left out."""

    name: dt.String = pandera.Field(nullable=True, metadata={"personal": True})

    class Config:
        """Several without a name."""

        unique = None


class Visitor(pandera.DataFrameModel):
    """A customer, and when that changed."""

    name: dt.String = pandera.Field(metadata={"personal": True})
    changed: dt.Int64

    class Config:
        """No customer twice."""

        unique = ("name",)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "delivered"
    made.mkdir()
    return made


def files(folder: Path, contract: Contract = PEOPLE, **options: Any) -> ma.FileSource:  # noqa: ANN401  a declaration's
    given: dict[str, Any] = {"file": "{month}.csv", "whole": ma.Quiet(seconds=0), "retries": 0, **options}
    return ma.FileSource(contract=contract, path=str(folder), **given)


def deliver(folder: Path, content: bytes, month: str = "2024-01") -> None:
    (folder / f"{month}.csv").write_bytes(content)


def published(folder: Path, content: bytes, month: str = "2024-01", **options: Any) -> str:  # noqa: ANN401  as above
    """The SHA-256 of a delivery that was published."""
    deliver(folder, content, month)
    done = run(files(folder, **options), month)
    assert done.success, done.told
    return str(done.metadata[TAG]["sha256"])


def kept(contract: Contract = PEOPLE) -> list[str]:
    return [each.sha256 for each in raw.listed(Settings.load(), contract)]


def contents() -> list[bytes]:
    """What is in the folder of deliveries of persons, whatever the names."""
    found = sorted(raw.root(Settings.load(), "people").rglob("*"))
    return [file.read_bytes() for file in found if file.is_file() and not raw.is_mark(file)]


def suspected(session: LakeSession, name: str, contracts: Mapping[str, Contract]) -> list[Unproven]:
    given = {"customer": {name.upper()}}
    return unproven(session, "people", contracts, given, Words(sorted(matching.words_of(given))))


def forget(name: str, contracts: Mapping[str, Contract] | None = None) -> list[Unproven]:
    """Erase a person as the command does; what was unproven before."""
    tables = contracts or {ASSET: PEOPLE}
    with LakeSession(Settings.load()) as session:
        planned = suspected(session, name, tables)
        given = {"customer": {name.upper()}}
        erasure_id = erasure.begin(session, tables, given, by="a test")
        erasure.erase(session, "people", tables, given, erasure_id)
        raw.erase([each.file for each in suspected(session, name, tables) if not each.stays], erasure_id)
        return planned


def workbook(name: str) -> bytes:
    made = openpyxl.Workbook()
    made.active.append(["name", "visits"])
    made.active.append([name, 3])
    made.save(content := io.BytesIO())
    return content.getvalue()


def zipped(content: bytes, name: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def parquet(name: str) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table({"name": [name], "visits": pa.array([3], pa.int32())}), written)
    return written.getvalue()


FIXED: Final = ma.FixedWidth(fields={"name": (1, 12), "visits": (13, 1)})
WAYS: Final[dict[str, tuple[str, bytes, Any]]] = {
    "escapes": ("Jürgen Müller", json.dumps({"name": "Jürgen Müller", "visits": 3}).encode() + b"\n", ma.JsonLines()),
    "a slash": ("A/B Person", b'{"name":"A\\/B Person","visits":3}\n', ma.JsonLines()),
    "upper case": ("Jürgen Müller", "name,visits\nJÜRGEN MÜLLER,3\n".encode(), ma.Delimited()),
    "doubled quotes": ('Ada "AL" Lovelace', b'name,visits\n"Ada ""AL"" Lovelace",3\n', ma.Delimited()),
    "a code page": ("Jürgen €", "name,visits\nJürgen €,3\n".encode("cp1252"), ma.Delimited(encoding="cp1252")),
    "two bytes": ("Ada Lovelace", ADA.decode().encode("utf-16"), ma.Delimited(encoding="utf-16")),
    "gzip": ("Ada Lovelace", gzip.compress(ADA), ma.Delimited()),
    "zip": ("Ada Lovelace", zipped(ADA, "a.csv"), ma.Delimited()),
    "few signs": ("Al", b"name,visits\nAl,3\n", ma.Delimited()),
    "a workbook": ("Ada & Bob Lovelace", workbook("Ada & Bob Lovelace"), ma.Excel()),
    "a workbook in zip": ("Ada Lovelace", zipped(workbook("Ada Lovelace"), "a.xlsx"), ma.Excel()),
    "parquet in gzip": ("Ada Lovelace", gzip.compress(parquet("Ada Lovelace")), ma.Parquet()),
    "parquet in zip": ("Ada Lovelace", zipped(parquet("Ada Lovelace"), "a.parquet"), ma.Parquet()),
    "abutting fields": ("Ada Lovelace", b"Ada Lovelace3\n", FIXED),
}


class Scrambled(ma.Source):
    """Rows that come as bytes which nobody but this source can read."""

    KIND: ClassVar[str] = "scrambled"
    VERSION: ClassVar[str] = "1"
    held: dict[str, str]

    def read(self, request: ma.Request) -> ma.Delivered:
        """One row; what came of it are its bytes by a key of their own."""
        name = self.held[request.partition.values["month"]]
        key = random.Random(request.partition.key)  # noqa: S311  no secret
        request.raw.write_bytes(bytes(sign ^ key.randrange(1, 256) for sign in name.encode() * 9))
        return ma.Delivered(source="Scrambled", rows=request.connection.sql(f"SELECT '{name}' AS name, 3 AS visits"))


class TestHowever:
    """However a delivery is written, nothing of the person is left."""

    @pytest.mark.parametrize("way", WAYS)
    def test_a_delivery_with_the_person_is_gone(self, folder: Path, way: str) -> None:
        name, content, form = WAYS[way]
        published(folder, content, format=form)
        other = published(folder, GRACE, "2024-02")
        assert [each.why for each in forget(name)] == [HOLDS]
        assert contents() == [GRACE]
        assert kept() == [other]

    def test_pages_of_a_rest_service_are_gone(self) -> None:
        with ApiServer(lambda _: Said(value=[{"name": 'Jürgen "J" Müller', "visits": 3}])) as server:
            assert run(ma.RestSource(contract=PEOPLE, url=f"{server.url}/{{month}}", retries=0)).success
        assert [each.why for each in forget('Jürgen "J" Müller')] == [HOLDS]
        assert contents() == []

    def test_bytes_that_nobody_can_read_are_gone_and_those_of_others_stay(self) -> None:
        chance = random.Random(2024)  # noqa: S311  no secret
        months = MONTHS.get_partition_keys()
        held = {month: chance.choice(["Ada Lovelace", f"Grace {month}"]) for month in months}
        source = Scrambled(contract=PEOPLE, held=held)
        came = {month: run(source, month).metadata[TAG]["sha256"] for month in months}
        forget("Ada Lovelace")
        assert set(kept()) == {came[month] for month in months if "Grace" in held[month]}
        assert 0 < len(kept()) < len(months)


class TestProof:
    """What is not proven goes, whether it holds the person or not."""

    def test_what_was_refused_goes(self, folder: Path) -> None:
        deliver(folder, GRACE.replace(b"4", b"many"))
        assert not run(files(folder)).success
        published(folder, GRACE)
        [refused] = forget("Ada Lovelace")
        assert "no publish was made from it" in refused.why
        assert contents() == [GRACE]

    def test_what_an_expired_publish_was_made_from_goes(self, folder: Path) -> None:
        old, new = published(folder, ADA), published(folder, GRACE)
        with LakeSession(Settings.load()) as session:
            versions = expiry.expirable(session, "people", older_than_seconds=0, pins=lambda _: {})
            expiry.expire(session, "people", versions)
        [gone] = forget("Ada Lovelace")
        assert gone.file.name == old
        assert "no longer, all in the lake" in gone.why
        assert kept() == [new]

    def test_a_file_of_all_partitions_goes(self, folder: Path) -> None:
        (folder / "all.csv").write_bytes(b"month,name,visits\n2024-01,Grace Hopper,1\n2024-02,Ada Lovelace,2\n")
        assert run(files(folder, file="all.csv")).success
        [gone] = forget("Ada Lovelace")
        assert "it holds more than the rows of its publish" in gone.why
        assert contents() == []

    def test_a_publish_that_was_made_by_filtering_proves_nothing(self, folder: Path) -> None:
        published(folder, ADA + b"Grace Hopper,4\n")
        with LakeSession(Settings.load()) as session:
            entry = ledger.current(session, PEOPLE, ["2024-01"])["2024-01"]
            assert entry.record.delivery is not None
            assert entry.record.delivery.rows == 2
            erasure.begin(session, {ASSET: PEOPLE}, {"customer": {"ADA LOVELACE"}}, by="a test")
        # As a run does that has kept its delivery before the tombstones came, and stages its rows after.
        assert run(files(folder), tags={TAG: KEPT}).success
        [gone] = forget("Grace Nobody")
        assert "no longer, all in the lake" in gone.why
        assert contents() == []

    def test_rows_without_identifier_prove_nothing(self, folder: Path) -> None:
        loose = dataclasses.replace(PEOPLE, model=Guest)
        published(folder, b"name,full_name,visits\n,Ada Lovelace,3\n", contract=loose, evolve=True)
        [gone] = forget("Ada Lovelace", {ASSET: loose})
        assert "rows that were made from it have no identifier" in gone.why
        assert contents() == []

    def test_changes_go_and_what_is_published_stands(self, tmp_path: Path) -> None:
        guests = dataclasses.replace(PEOPLE, partitions_def=None, partition_columns={}, model=Visitor)
        with closing(sqlite3.connect(tmp_path / "guests.sqlite")) as database, database:
            database.execute("CREATE TABLE guests (name, changed)")
            database.execute("INSERT INTO guests VALUES ('Grace Hopper', 1)")
        source = ma.SqlSource(
            contract=guests,
            database=ma.Sqlite(path=str(tmp_path / "guests.sqlite")),
            table="guests",
            where="changed >= :since",
            since=ma.Since(column="changed", start="0"),
            retries=0,
        )
        whole = run(source, None).metadata[TAG]["sha256"]
        with closing(sqlite3.connect(tmp_path / "guests.sqlite")) as database, database:
            database.execute("INSERT INTO guests VALUES ('Ada Lovelace', 2)")
        assert run(source, None).success
        before = kept()
        forget("Ada Lovelace", {ASSET: guests})
        assert len(before) > len(kept()) == 1
        assert kept() == [whole]
        assert [row[0] for row in rows(guests)] == ["Grace Hopper"]

    def test_a_table_that_persons_are_made_from_and_that_tells_nobody_apart_keeps_nothing(self, folder: Path) -> None:
        silent = dataclasses.replace(CUSTOMERS, volume=ma.Volume(max_loss=1.0))
        told = dataclasses.replace(PEOPLE, layer="wrangled", table="customers")
        published(folder, GRACE, contract=silent)
        tables = {ASSET: silent, "wrangled/customers": told}
        assert forget("Ada Lovelace", tables) == []

        @ma.asset(contract=told, ins={"customers": ma.In(silent)})
        def customers(customers: Any) -> Any:  # noqa: ANN401
            return customers

        assert dg.materialize([files(folder, silent).asset(), customers], partition_key="2024-01").success
        [gone] = forget("Ada Lovelace", tables)
        assert "does not say whose row each is" in gone.why
        assert contents() == []

    def test_deliveries_of_a_table_that_nobody_knows_are_named(self, folder: Path) -> None:
        published(folder, GRACE)
        [found] = forget("Ada Lovelace", {"raw/others": dataclasses.replace(PEOPLE, table="others")})
        assert found.stays
        assert "Name its module" in found.why
        assert contents() == [GRACE]


class TestMeanwhile:
    """A run that brings the person while the erasure runs leaves nothing."""

    def test_what_is_kept_after_the_tombstones_is_not_kept(self, folder: Path) -> None:
        published(folder, GRACE)
        deliver(folder, ADA + b"Mary Somerville,5\n", "2024-02")
        done: list[Any] = []
        place = raw.root(Settings.load(), "people") / "raw.customers"
        with LakeSession(Settings.load()) as session:
            # The run has read its delivery, and waits for its turn to keep it.
            with taking_turns(place):
                thread = threading.Thread(target=lambda: done.append(run(files(folder), "2024-02")))
                thread.start()
                while not [*place.glob(".staged-*")]:
                    time.sleep(0.01)
                time.sleep(2)
                erasure.begin(session, {ASSET: PEOPLE}, {"customer": {"ADA LOVELACE"}}, by="a test")
            thread.join()
        assert [each.success for each in done] == [True]
        assert contents() == [GRACE]
        assert [row[1] for row in rows(PEOPLE)] == ["Grace Hopper", "Mary Somerville"]

    def test_what_a_run_is_fetching_is_named_and_what_a_killed_one_left_goes_after_a_day(self, folder: Path) -> None:
        published(folder, GRACE)
        file = raw.incoming(Settings.load(), PEOPLE)
        file.write_bytes(ADA)
        [named] = forget("Ada Lovelace")
        assert named.stays
        assert file.is_file()
        old = time.time() - 90_000
        os.utime(file, (old, old))
        forget("Ada Lovelace")
        assert contents() == [GRACE]


class TestCommand:
    """What the command says before, and what is said afterwards."""

    @pytest.fixture
    def module(self, folder: Path, tmp_path: Path) -> str:
        made = tmp_path / "erased_shop.py"
        made.write_text(
            "import pathlib\nimport mlops_assets as ma\n"
            "from mlops_assets_tests.plumbing.sources.test_kept_erased import files\n"
            f"defs = ma.build_defs([files(pathlib.Path({str(folder)!r}))], name='shop')\n"
        )
        return str(made)

    def forget(self, module: str, *options: str) -> Result:
        given = ["lake", "forget", "--keys-file", "-", "-m", module, *options]
        return CliRunner().invoke(cli._app, given, input="customer=Ada Lovelace\n")

    def test_the_plan_names_each_delivery_and_why_it_goes(self, folder: Path, module: str) -> None:
        held = published(folder, ADA)
        published(folder, GRACE, "2024-02")
        deliver(folder, GRACE.replace(b"4", b"many"), "2024-03")
        assert not run(files(folder), "2024-03").success
        before = kept()
        asked = self.forget(module)
        assert asked.exit_code == 1
        assert f"{ASSET}: kept delivery {held[:12]} is removed: it holds them" in asked.output
        assert "it cannot be proven not to hold them: no publish was made from it" in asked.output
        assert asked.output.count("kept delivery") == 2
        assert kept() == before

    def test_what_is_published_stands_and_reading_again_says_that_it_was_erased(
        self, folder: Path, module: str, tmp_path: Path
    ) -> None:
        held = published(folder, ADA + b"Grace Hopper,4\n")
        done = self.forget(module, "--yes")
        assert done.exit_code == 0, done.output
        assert contents() == []
        assert [row[1] for row in rows(PEOPLE)] == ["Grace Hopper"]
        source = files(folder)
        for tag in (KEPT, held):
            again = run(source, tags={TAG: tag})
            assert not again.success
            assert "it was removed when persons were erased (erasure " in again.told
        home = tmp_path / "rebuilt"
        home.mkdir()
        with pytest.raises(LakeError, match="it was removed when persons were erased"):
            rebuild([dg.Definitions(assets=[source.asset()])], ASSET, "2024-01", settings=Settings.load(), home=home)
