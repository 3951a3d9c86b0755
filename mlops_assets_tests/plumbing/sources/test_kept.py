"""What sources delivered is kept as it came: read again, compared, listed, let go and erased."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import time
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from typer.testing import CliRunner

import mlops_assets as ma
from mlops_assets import cli
from mlops_assets.platform.assets.raw import KEPT, TAG
from mlops_assets.platform.assets.rebuild import rebuild
from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake import erasure, ledger, raw
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.plumbing.sources.shop import CUSTOMERS, SALES, rows, run

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets_tests.plumbing.sources.shop import Ran

GOOD = b"sale,day,amount,note\n1,2024-01-03,1.5,first\n2,2024-01-04,20,\n"
BETTER = b"sale,day,amount,note\n1,2024-01-03,1.5,first\n2,2024-01-04,21,\n"
PEOPLE = dataclasses.replace(CUSTOMERS, subject={"customer": "name"})
DAY = 86_400.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "delivered"
    made.mkdir()
    return made


def files(folder: Path, contract: Contract = SALES, **options: Any) -> ma.FileSource:  # noqa: ANN401  a declaration's
    given: dict[str, Any] = {"file": "{month}.csv", "whole": ma.Quiet(seconds=0), "retries": 0, **options}
    return ma.FileSource(contract=contract, path=str(folder), **given)


def deliver(folder: Path, content: bytes, *, to: str = "2024-01.csv") -> str:
    (folder / to).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def kept(contract: Contract = SALES) -> list[str]:
    return [each.sha256 for each in raw.listed(Settings.load(), contract)]


def record(contract: Contract = SALES) -> ledger.PublishRecord:
    with LakeSession(Settings.load()) as session:
        session.attach(contract.lake.name)
        return ledger.current(session, contract, ["2024-01"])["2024-01"].record


def file_of(sha256: str, contract: Contract = SALES) -> Path:
    return raw.kept(Settings.load(), contract, sha256)


class TestKeeping:
    def test_a_delivery_is_kept_byte_for_byte_with_hash_size_origin_and_arrival(self, folder: Path) -> None:
        packed = gzip.compress(GOOD)
        sha256 = deliver(folder, packed)
        assert run(files(folder)).success
        assert file_of(sha256).read_bytes() == packed
        told = record().delivery
        assert told is not None
        assert (told.sha256, told.bytes) == (sha256, len(packed))
        assert "2024-01.csv" in told.origin
        assert time.time() - told.arrived_at < 60
        assert told.facts["file"] == "2024-01.csv"

    def test_the_asset_s_page_tells_of_it(self, folder: Path) -> None:
        sha256 = deliver(folder, GOOD)
        assert run(files(folder)).metadata[TAG]["sha256"] == sha256

    def test_only_its_account_may_read_it(self, folder: Path) -> None:
        file = file_of(deliver(folder, GOOD)) if run_good(folder) else None
        assert file is not None
        assert (file.stat().st_mode & 0o077, file.parent.stat().st_mode & 0o077) == (0, 0)

    def test_the_same_bytes_are_kept_once(self, folder: Path) -> None:
        sha256 = deliver(folder, GOOD)
        assert run(files(folder)).success
        assert run(files(folder)).success
        assert kept() == [sha256]

    def test_one_file_of_all_partitions_is_kept_once(self, folder: Path) -> None:
        content = b"month," + GOOD.split(b"\n")[0] + b"\n2024-01,1,2024-01-03,1,\n2024-02,2,2024-02-03,2,\n"
        sha256 = deliver(folder, content, to="all.csv")
        source = files(folder, file="all.csv")
        assert run(source).success
        assert run(source, "2024-02").success
        assert kept() == [sha256]

    def test_one_that_is_refused_for_its_values_is_kept_to_be_looked_at(self, folder: Path) -> None:
        sha256 = deliver(folder, GOOD.replace(b"1.5", b"much"))
        assert not run(files(folder)).success
        assert kept() == [sha256]

    def test_one_that_is_not_whole_is_not_kept(self, folder: Path) -> None:
        deliver(folder, gzip.compress(GOOD)[:-9])
        assert not run(files(folder)).success
        assert kept() == []
        assert not [*raw.incoming(Settings.load(), SALES).parent.iterdir()]

    def test_a_source_can_say_that_nothing_is_kept(self, folder: Path) -> None:
        deliver(folder, GOOD)
        assert run(files(folder, keep=False)).success
        assert kept() == []
        assert record().delivery is None

    def test_one_that_a_crash_has_cut_is_kept_anew(self, folder: Path) -> None:
        sha256 = deliver(folder, GOOD)
        assert run(files(folder)).success
        os.truncate(file_of(sha256), 5)
        assert run(files(folder)).success
        assert file_of(sha256).read_bytes() == GOOD


def run_good(folder: Path) -> bool:
    deliver(folder, GOOD)
    return run(files(folder)).success


class TestReadingAgain:
    def test_a_table_is_made_again_from_what_was_kept_by_a_corrected_declaration(self, folder: Path) -> None:
        deliver(folder, GOOD.replace(b"note", b"remark"))
        assert not run(files(folder)).success
        [sha256] = kept()
        (folder / "2024-01.csv").unlink()
        assert again(files(folder, columns={"note": "remark"}), sha256).success
        assert [row[1] for row in rows()] == [1, 2]

    def test_kept_means_what_the_current_publish_was_made_from(self, folder: Path) -> None:
        assert run_good(folder)
        before = rows()
        deliver(folder, BETTER)
        assert again(files(folder), KEPT).success
        assert rows() == before

    def test_a_damaged_delivery_is_refused(self, folder: Path) -> None:
        assert run_good(folder)
        [sha256] = kept()
        file_of(sha256).write_bytes(BETTER)
        done = again(files(folder), KEPT)
        assert "it was damaged or changed" in done.told
        assert rows()[1][3] == 20.0

    def test_a_damaged_delivery_is_mended_when_it_comes_again(self, folder: Path) -> None:
        assert run_good(folder)
        [sha256] = kept()
        file_of(sha256).write_bytes(bytes(len(GOOD)))
        assert run_good(folder)
        assert again(files(folder), KEPT).success

    def test_one_of_another_partition_is_refused(self, folder: Path) -> None:
        assert run_good(folder)
        [sha256] = kept()
        done = run(files(folder), "2024-02", tags={TAG: sha256})
        assert "came for another partition (2024-01)" in done.told

    def test_one_that_a_run_reads_is_not_let_go_meanwhile(self, folder: Path) -> None:
        assert run_good(folder)
        [sha256] = kept()
        old = time.time() - 10 * 86_400
        os.utime(file_of(sha256), (old, old))
        raw.kept(Settings.load(), SALES, sha256)
        raw.expire([file_of(sha256)])
        assert kept() == [sha256]

    def test_one_whose_keeping_fails_tells_its_own_error(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object, **__: object) -> bool:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(raw, "keep", full)
        deliver(folder, GOOD.replace(b"1.5", b"much"))
        assert "amount: 1 of 2 rows" in run(files(folder)).told
        assert not [*raw.incoming(Settings.load(), SALES).parent.iterdir()]

    @pytest.mark.parametrize("tag", ["0" * 64, "../../catalog.sqlite", "", KEPT])
    def test_one_that_is_not_kept_is_refused(self, folder: Path, tag: str) -> None:
        deliver(folder, GOOD)
        done = again(files(folder), tag)
        assert not done.success
        assert "lists those that are" in done.told

    def test_a_publish_is_rebuilt_from_it_with_an_equal_hash(self, folder: Path, tmp_path: Path) -> None:
        assert run_good(folder)
        deliver(folder, BETTER)
        home = tmp_path / "rebuilt"
        home.mkdir()
        settings = Settings.load()
        found = rebuild(
            [dg.Definitions(assets=[files(folder).asset()])], "raw/sales", "2024-01", settings=settings, home=home
        )
        assert found.equal

    def test_a_publish_whose_delivery_was_let_go_cannot_be_rebuilt(self, folder: Path, tmp_path: Path) -> None:
        assert run_good(folder)
        file_of(kept()[0]).unlink()
        home = tmp_path / "rebuilt"
        home.mkdir()
        with pytest.raises(LakeError, match="it was let go"):
            rebuild(
                [dg.Definitions(assets=[files(folder).asset()])],
                "raw/sales",
                "2024-01",
                settings=Settings.load(),
                home=home,
            )


def again(source: ma.FileSource, tag: str) -> Ran:
    return run(source, tags={TAG: tag})


class TestRetention:
    def aged(self, sha256: str, days: float) -> None:
        os.utime(file_of(sha256), (time.time() - days * DAY,) * 2)

    def expirable(self, days: float) -> list[str]:
        with LakeSession(Settings.load()) as session:
            return [file.name for file in raw.expirable(session, "shop", older_than_seconds=days * DAY)]

    def test_what_a_current_publish_was_made_from_stays(self, folder: Path) -> None:
        assert run_good(folder)
        self.aged(kept()[0], 1000)
        assert self.expirable(30) == []

    def test_what_was_corrected_goes_after_its_days(self, folder: Path) -> None:
        assert run_good(folder)
        [old] = kept()
        deliver(folder, BETTER)
        assert run(files(folder)).success
        assert self.expirable(30) == []
        self.aged(old, 31)
        assert self.expirable(30) == [old]
        assert self.expirable(32) == []

    def test_what_came_a_moment_ago_stays_whatever_is_asked(self, folder: Path) -> None:
        deliver(folder, GOOD.replace(b"1.5", b"much"))
        assert not run(files(folder)).success
        assert self.expirable(0) == []

    def test_one_that_came_again_meanwhile_stays(self, folder: Path) -> None:
        assert run_good(folder)
        [sha256] = kept()
        raw.expire([file_of(sha256)])
        assert kept() == [sha256]


class TestErasure:
    """Persons who were erased are in no delivery that comes afterwards."""

    def test_a_delivery_with_one_who_was_erased_is_not_kept(self, folder: Path) -> None:
        deliver(folder, b"name,visits\nAda Lovelace,3\n")
        assert run(files(folder, PEOPLE)).success
        with LakeSession(Settings.load()) as session:
            erasure.begin(session, {"raw/customers": PEOPLE}, {"customer": {"ADA LOVELACE"}}, by="a test")
        before = kept(PEOPLE)
        deliver(folder, b"name,visits\nAda Lovelace,3\nGrace Hopper,4\n")
        assert run(files(folder, PEOPLE)).success
        assert kept(PEOPLE) == before
        assert [row[1] for row in rows(PEOPLE)] == ["Grace Hopper"]

    def test_a_delivery_without_them_is_kept(self, folder: Path) -> None:
        deliver(folder, b"name,visits\nAda Lovelace,3\nGrace Hopper,4\n")
        assert run(files(folder, PEOPLE)).success
        with LakeSession(Settings.load()) as session:
            erasure.begin(session, {"raw/customers": PEOPLE}, {"customer": {"ADA LOVELACE"}}, by="a test")
        sha256 = deliver(folder, b"name,visits\nGrace Hopper,4\n")
        assert run(files(folder, PEOPLE)).success
        assert sha256 in kept(PEOPLE)


class TestCommand:
    def test_deliveries_are_listed_with_the_partitions_made_from_them(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert run_good(folder)
        module = tmp_path / "kept_shop.py"
        module.write_text(
            "import mlops_assets as ma\nfrom mlops_assets_tests.plumbing.sources.shop import SALES\n"
            f"defs = ma.build_defs([ma.FileSource(contract=SALES, path={str(folder)!r}, file='{{month}}.csv')], "
            "name='shop')\n"
        )
        monkeypatch.setenv("COLUMNS", "200")
        listed = CliRunner().invoke(cli._app, ["lake", "deliveries", "raw/sales", "-m", str(module)])
        assert listed.exit_code == 0, listed.output
        assert kept()[0][:12] in listed.output
        assert "2024-01" in listed.output
        got = CliRunner().invoke(
            cli._app, ["lake", "deliveries", "raw/sales", "--get", kept()[0][:8], "-m", str(module)]
        )
        assert got.stdout_bytes == GOOD
