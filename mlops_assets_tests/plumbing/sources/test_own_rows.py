"""One file of all partitions: fetched, proven and parsed once in a run, and each partition gets its rows."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mlops_assets as ma
from mlops_assets.platform.assets import making
from mlops_assets.platform.assets.ranges import RANGE_END, RANGE_START
from mlops_assets.platform.assets.raw import METADATA, TAG
from mlops_assets.platform.contracts.volume import ACCEPTED_TAG
from mlops_assets.platform.lake import raw
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources import own_rows
from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets_tests.plumbing.sources.file_server import OLD, FileServer
from mlops_assets_tests.plumbing.sources.shop import SALES, Sale, contract, rows, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import duckdb

HEADER: Final = "month,sale,day,amount,note\n"
LINES: Final = [f"2024-{1 + n % 3:02},{n},2024-01-03,{n}.5,note {n}\n" for n in range(30)]
ALL: Final = HEADER + "".join(LINES)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the temporary folders of this test are."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        running.files["/all.csv"] = ALL.encode()
        running.manners.modified = OLD
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "delivered"
    made.mkdir()
    (made / "all.csv").write_text(ALL)
    return made


def over_http(server: FileServer, **options: Any) -> ma.HttpFileSource:  # noqa: ANN401  a declaration's
    limits = ma.FileLimits(attempts=1, first_delay_seconds=0.01)
    given = {"contract": SALES, "url": f"{server.url}/all.csv", "limits": limits, "retries": 0, **options}
    return ma.HttpFileSource(**given)


def in_folder(folder: Path, **options: Any) -> FileSource:  # noqa: ANN401  a declaration's
    given = {"contract": SALES, "file": "all.csv", "whole": ma.Quiet(seconds=0), "retries": 0, **options}
    return FileSource(path=str(folder), **given)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What came of a run over several partitions: their metadata by key, and what it told."""

    success: bool
    published: Mapping[str, Mapping[str, Any]]
    told: str


def run_all(
    source: ma.FileSource | ma.HttpFileSource, first: str = "2024-01", last: str = "2024-03", **tags: str
) -> Made:
    done = dg.materialize(
        [source.asset()],
        raise_on_error=False,
        instance=dg.DagsterInstance.ephemeral(),
        tags={RANGE_START: first, RANGE_END: last, **tags},
    )
    published = {
        str(each.materialization.partition): {
            name: value.value for name, value in each.materialization.metadata.items()
        }
        for each in done.get_asset_materialization_events()
        if each.materialization.partition
    }
    told = " ".join(
        str(each.step_failure_data.user_failure_data or each.step_failure_data.error)
        for each in done.all_events
        if each.is_step_failure
    )
    return Made(success=done.success, published=published, told=told)


def kept() -> list[str]:
    """The names of all files in the raw folder of the sales, those that are under way among them."""
    [incoming] = {raw.incoming(Settings.load(), SALES).parent}
    return sorted(each.name for each in incoming.iterdir() if not raw.is_mark(each))


def gets(server: FileServer) -> int:
    return server.methods().count("GET")


def left(scratch: Path) -> list[str]:
    """What is left there of a run, beside the engine's own folder."""
    return [
        each.name for each in scratch.iterdir() if each.name.startswith("mlops-assets-") and "spill" not in each.name
    ]


class TestARunOfSeveralPartitions:
    def test_fetches_it_once(self, server: FileServer, scratch: Path) -> None:
        done = run_all(over_http(server))
        assert done.success, done.told
        assert gets(server) == 1
        assert [row[1] for row in rows()] == sorted(range(30), key=lambda n: (n % 3, n))
        assert left(scratch) == []

    def test_fetches_it_once_where_several_are_made_at_once(self, server: FileServer) -> None:
        assert run_all(over_http(server, at_once=3)).success
        assert gets(server) == 1
        assert len(rows()) == 30

    def test_keeps_it_once_and_each_delivery_names_it(self, server: FileServer) -> None:
        done = run_all(over_http(server))
        [sha256] = {each[METADATA]["sha256"] for each in done.published.values()}
        assert kept() == [sha256]
        assert {each["file_sha256"] for each in done.published.values()} == {sha256}

    def test_keeps_nothing_where_nothing_is_to_be_kept(self, server: FileServer, scratch: Path) -> None:
        done = run_all(over_http(server, keep=False))
        assert done.success, done.told
        assert gets(server) == 1
        assert kept() == []
        assert left(scratch) == []

    def test_is_made_from_one_version_though_it_is_replaced_meanwhile(self, folder: Path) -> None:
        source = in_folder(folder)
        whole = FileSource._whole

        def replaced(self: FileSource, request: ma.Request) -> ma.Delivered:
            delivered = whole(self, request)
            (folder / "all.csv").write_text(ALL.replace("note", "other"))
            return delivered

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FileSource, "_whole", replaced)
            assert run_all(source).success
        assert {row[-1].split()[0] for row in rows()} == {"note"}

    def test_publishes_what_runs_of_one_partition_do(self, folder: Path) -> None:
        together = run_all(in_folder(folder)).published
        alone = [run(in_folder(folder), key).metadata for key in together]
        assert [each["content_hash"] for each in together.values()] == [each["content_hash"] for each in alone]

    def test_meets_an_error_once_for_all(self, server: FileServer, scratch: Path) -> None:
        server.files["/all.csv"] = f"{ALL}2024-01.0,99,2024-01-03,1,x\n".encode()
        done = run_all(over_http(server))
        assert not done.success
        assert done.published == {}
        assert "1 of its rows are of no partition of the table (month: '2024-01.0')" in done.told
        assert "3 of 3 partitions were not published" in done.told
        assert gets(server) == 1
        assert kept() == []
        assert left(scratch) == []

    def test_publishes_the_others_where_one_is_not_in_it(self, server: FileServer) -> None:
        done = run_all(over_http(server, retries=2, retry_seconds=0.01), last="2024-04")
        assert [*done.published] == ["2024-01", "2024-02", "2024-03"]
        assert "no rows of partition 2024-04, which is late" in done.told
        assert "(it has rows of 3: 2024-01, 2024-03)" in done.told
        assert gets(server) == 1

    def test_publishes_the_others_where_one_has_bad_values(self, folder: Path) -> None:
        (folder / "all.csv").write_text(ALL.replace(",1.5,", ",many,"))
        done = run_all(in_folder(folder))
        assert [*done.published] == ["2024-01", "2024-03"]
        assert "2024-02" in done.told
        assert len(kept()) == 1

    @pytest.mark.parametrize("at_once", [1, 3])
    def test_that_is_overtaken_publishes_all_of_the_version_that_it_read(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
    ) -> None:
        (folder / "all.csv").write_text(HEADER + "".join(f"2024-0{n},{n},2024-01-03,1,ours\n" for n in (1, 2, 3)))
        other = tmp_path / "other"
        other.mkdir()
        (other / "all.csv").write_text(HEADER + "".join(f"2024-0{n},9,2024-01-03,1,other\n" for n in (1, 2, 3)))
        publish, shared, read, overtaken = making._publish, own_rows._shared, [0], [False]

        def later(*arguments: Any) -> Any:  # noqa: ANN401  the platform's own
            if not overtaken[0]:
                overtaken[0] = True
                assert run_all(in_folder(other)).success
            return publish(*arguments)

        def counted(*arguments: Any) -> Any:  # noqa: ANN401
            read[0] += 1
            return shared(*arguments)

        monkeypatch.setattr(making, "_publish", later)
        monkeypatch.setattr(own_rows, "_shared", counted)
        done = run_all(in_folder(folder, at_once=at_once))
        assert done.success, done.told
        assert [row[-1] for row in rows()] == ["ours"] * 3
        # Once by each of the two runs.
        assert read[0] == 2

    def test_publishes_one_without_rows_where_that_is_declared(self, folder: Path) -> None:
        table = contract("sales_or_none", Sale, volume=ma.Volume(allow_empty=True))
        done = run_all(in_folder(folder, contract=table), last="2024-04")
        assert done.success, done.told
        assert done.published["2024-04"]["dagster/row_count"] == 0

    def test_publishes_one_without_rows_where_somebody_accepts_that(self, folder: Path) -> None:
        done = run_all(in_folder(folder), last="2024-04", **{ACCEPTED_TAG: "0"})
        assert done.success, done.told
        assert done.published["2024-04"]["dagster/row_count"] == 0

    def test_is_made_again_from_what_was_kept_and_parses_it_twice_at_most(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, scratch: Path
    ) -> None:
        first = run_all(in_folder(folder)).published
        (folder / "all.csv").unlink()
        parsed, times = FileSource.parsed, []

        def counted(*given: Any, **named: Any) -> ma.Delivered:  # noqa: ANN401  whatever it takes
            times.append(1)
            return parsed(*given, **named)

        monkeypatch.setattr(FileSource, "parsed", counted)
        again = run_all(in_folder(folder), **{TAG: "kept"})
        assert again.success, again.told
        assert len(times) == 2
        assert [each["content_hash"] for each in again.published.values()] == [
            each["content_hash"] for each in first.values()
        ]
        assert len(kept()) == 1
        assert left(scratch) == []

    def test_reads_a_packed_file(self, folder: Path) -> None:
        (folder / "all.csv").write_bytes(gzip.compress(ALL.encode()))
        assert run_all(in_folder(folder)).success
        assert len(rows()) == 30

    def test_keeps_the_types_of_parquet(self, folder: Path) -> None:
        columns = {
            "month": pa.array(["2024-01", "2024-02", "2024-03"]),
            "sale": pa.array([1, 2, 3], pa.uint64()),
            "day": pa.array([19_725] * 3, pa.date32()),
            "amount": pa.array([1.5, 2.5, 3.5], pa.float32()),
            "note": pa.array(["a", None, ""]),
        }
        pq.write_table(pa.table(columns), folder / "all.parquet")
        done = run_all(in_folder(folder, file="all.parquet", format=ma.Parquet()))
        assert done.success, done.told
        assert [row[-1] for row in rows()] == ["a", None, ""]

    def test_serves_partitions_that_are_no_text(self, folder: Path) -> None:
        table = contract("yearly", Sale, partitions_def=dg.StaticPartitionsDefinition(["2023", "2024", "B20"]))
        columns = {
            "month": pa.array([2023, 2024], pa.int32()),
            "sale": [1, 2],
            "day": ["2024-01-03"] * 2,
            "amount": [1.5, 2.5],
            "note": ["a", "b"],
        }
        pq.write_table(pa.table(columns), folder / "all.parquet")
        done = run_all(
            in_folder(folder, file="all.parquet", format=ma.Parquet(), contract=table), first="2023", last="B20"
        )
        assert [*done.published] == ["2023", "2024"]
        assert "no rows of partition B20" in done.told


class TestReading:
    def test_one_partition_reads_its_groups_of_rows_alone(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = (f"2024-{1 + n % 3:02},{n},2024-01-03,{n}.5,note {n}\n" for n in range(300_000))
        (folder / "all.csv").write_text(HEADER + "".join(lines))
        found: list[tuple[int, int]] = []
        write = own_rows._write

        def looked_at(rows: duckdb.DuckDBPyRelation, file: Path, by: Any) -> None:  # noqa: ANN401
            write(rows, file, by)
            about = pq.ParquetFile(file).metadata
            groups = [about.row_group(n).column(0).statistics for n in range(about.num_row_groups)]
            found.append((len(groups), sum(each.min <= "2024-02" <= each.max for each in groups)))

        monkeypatch.setattr(own_rows, "_write", looked_at)
        assert run_all(in_folder(folder)).success
        [(groups, of_one)] = found
        assert groups >= 9
        assert of_one <= groups / 3 + 2


KILLED: Final = """
import os, signal, sys
from pathlib import Path
import dagster as dg
from mlops_assets.platform.assets.ranges import RANGE_END, RANGE_START
from mlops_assets.plumbing.sources import extraction
from mlops_assets_tests.plumbing.sources.test_own_rows import in_folder
conformed = extraction.conformed

def killed(*given):
    made = conformed(*given)
    print("here", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return made

extraction.conformed = killed
dg.materialize([in_folder(Path(sys.argv[1])).asset()], tags={RANGE_START: "2024-01", RANGE_END: "2024-03"})
"""


class TestARunThatIsKilled:
    def test_leaves_nothing_that_the_next_one_does_not_remove(self, folder: Path, scratch: Path) -> None:
        environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(folder)], env=environment, capture_output=True, check=False, timeout=120
        )
        assert done.returncode == -signal.SIGKILL
        assert left(scratch)
        environment["MLOPS_ASSETS_HOME"] = str(folder / "home")
        again = KILLED.replace("extraction.conformed = killed", "")
        subprocess.run([sys.executable, "-c", again, str(folder)], env=environment, check=True, timeout=120)
        assert left(scratch) == []
