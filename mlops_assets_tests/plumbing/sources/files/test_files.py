"""Tests of files by declaration: what is delivered whole becomes rows, and nothing else does."""

from __future__ import annotations

import dataclasses
import datetime as dt
import gzip
import hashlib
import json
import os
import re
import time
import zipfile
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dagster.components.resolved.errors import ResolutionException

from mlops_assets.platform.assets.step import Partition
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources.extraction import extracted
from mlops_assets.plumbing.sources.files.places import Place
from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Checksum, Manifest, Marker, Quiet
from mlops_assets.plumbing.sources.formats.kinds import Delimited, FixedWidth, Parquet
from mlops_assets_tests.plumbing.sources.shop import CUSTOMERS, SALES, contract, rows, run
from mlops_assets_tests.plumbing.sources.shop import Sale as SaleModel

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.plumbing.sources.delivered import Delivered, Request

GOOD = "sale,day,amount,note\n1,2024-01-03,1.5,first\n2,2024-01-04,20,\n"
ROWS = [
    ("2024-01", 1, dt.date(2024, 1, 3), 1.5, "first"),
    ("2024-01", 2, dt.date(2024, 1, 4), 20.0, None),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "delivered"
    made.mkdir()
    return made


def sales(folder: Path, **options: Any) -> FileSource:  # noqa: ANN401  a declaration's
    """The shop's sales, a file a month, taken at once."""
    given: dict[str, Any] = {"file": "{month}.csv", "whole": Quiet(seconds=0), "retries": 0, **options}
    return FileSource(contract=SALES, path=str(folder), **given)


class TestWhatIsRead:
    def test_a_delimited_file_becomes_typed_rows(self, folder: Path) -> None:
        (folder / "2024-01.csv").write_text(GOOD)
        done = run(sales(folder))
        assert done.success, done.told
        assert rows() == ROWS
        assert done.metadata["file_sha256"] == hashlib.sha256(GOOD.encode()).hexdigest()

    @pytest.mark.parametrize("packed", ["zip", "gzip", "gzip of two members", "zstd"])
    def test_how_it_is_packed_is_told_by_its_bytes(self, folder: Path, packed: str) -> None:
        file = folder / "2024-01.csv"
        middle = GOOD.index("2,2024")
        if packed == "zip":
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("sales.csv", GOOD)
        elif packed == "zstd":
            file.write_bytes(pa.compress(GOOD.encode(), codec="zstd", asbytes=True))
        elif packed == "gzip":
            file.write_bytes(gzip.compress(GOOD.encode()))
        else:
            file.write_bytes(gzip.compress(GOOD[:middle].encode()) + gzip.compress(GOOD[middle:].encode()))
        done = run(sales(folder))
        assert done.success, done.told
        assert rows() == ROWS

    @pytest.mark.parametrize(
        ("encoding", "codec"), [("latin-1", "latin-1"), ("cp1252", "cp1252"), ("utf-16", "utf-16")]
    )
    def test_its_encoding_is_the_declared_one(
        self, folder: Path, encoding: Literal["latin-1", "cp1252", "utf-16"], codec: str
    ) -> None:
        (folder / "2024-01.csv").write_bytes(GOOD.replace("first", "süß").replace("\n", "\r\n").encode(codec))
        done = run(sales(folder, format=Delimited(encoding=encoding)))
        assert done.success, done.told
        assert rows()[0][-1] == "süß"

    def test_a_byte_order_mark_is_no_part_of_the_first_column(self, folder: Path) -> None:
        (folder / "2024-01.csv").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
        assert run(sales(folder)).success

    def test_a_file_without_header_gets_its_names_from_the_declaration(self, folder: Path) -> None:
        (folder / "2024-01.csv").write_text("1;2024-01-03;1.5;first\n2;2024-01-04;20;\n")
        done = run(sales(folder, format=Delimited(delimiter=";", names=["sale", "day", "amount", "note"])))
        assert done.success, done.told
        assert rows() == ROWS

    def test_columns_of_fixed_width_are_cut_where_the_declaration_says(self, folder: Path) -> None:
        (folder / "2024-01.csv").write_text("001 2024-01-03  1.5 first\n002 2024-01-04   20 \n")
        fields = {"sale": (1, 3), "day": (5, 10), "amount": (16, 4), "note": (21, 9)}
        done = run(sales(folder, format=FixedWidth(fields=fields)))
        assert done.success, done.told
        assert rows() == ROWS

    def test_parquet_keeps_its_types(self, folder: Path) -> None:
        table = pa.table(
            {
                "sale": pa.array([1, 2], pa.int16()),
                "day": [row[2] for row in ROWS],
                "amount": [1.5, 20.0],
                "note": ["first", None],
            }
        )
        pq.write_table(table, folder / "2024-01.csv")
        done = run(sales(folder, format=Parquet()))
        assert done.success, done.told
        assert rows() == ROWS

    def test_a_name_is_never_taken_for_a_pattern(self, folder: Path) -> None:
        odd = folder / "[1]*?"
        odd.mkdir()
        (folder / "1x").mkdir()
        (folder / "1x" / "2024-01.csv").write_text(GOOD.replace("first", "another"))
        (odd / "2024-01.csv").write_text(GOOD)
        assert run(sales(folder, file="[1]*?/{month}.csv")).success
        assert rows() == ROWS

    def test_a_file_of_all_partitions_gives_each_its_rows(self, folder: Path) -> None:
        (folder / "all.csv").write_text(
            "month,sale,day,amount,note\n2024-01,1,2024-01-03,1.5,first\n2024-02,1,2024-02-03,3,\n"
        )
        source = sales(folder, file="all.csv")
        assert run(source).success
        assert run(source, "2024-02").success
        assert [(row[0], row[1]) for row in rows()] == [("2024-01", 1), ("2024-02", 1)]

    def test_columns_and_formats_are_as_the_declaration_says(self, folder: Path) -> None:
        (folder / "2024-01.csv").write_text("No,Tag,amount,note\n1,03.01.2024,1.5,first\n")
        done = run(sales(folder, columns={"sale": "No", "day": "Tag"}, formats={"day": "%d.%m.%Y"}))
        assert done.success, done.told
        assert rows() == ROWS[:1]

    def test_a_table_without_partitions_is_replaced_whole(self, folder: Path) -> None:
        (folder / "sales.csv").write_text("month," + GOOD.replace("\n1", "\n2024-01,1").replace("\n2,", "\n2024-01,2,"))
        whole = contract("all_sales", SaleModel, partitions_def=None, partition_columns={})
        source = FileSource(contract=whole, path=str(folder), file="sales.csv", whole=Quiet(seconds=0), retries=0)
        assert run(source, None).success
        assert rows(whole) == ROWS


class TestWhatIsRefused:
    """Nothing is published, and one clear error says why."""

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ("", "is empty"),
            (GOOD[:-1], "last line has no end"),
            (GOOD[: GOOD.index(",20,")], "last line has no end"),
            (GOOD.replace("2,2024-01-04,20,", "2,2024-01-04,20"), "line 3 has 3 fields where 4 are expected"),
            (GOOD.replace("first", '"first'), "quotation mark"),
            (GOOD.replace("20,", '"1,291",'), "amount: 1 of 2 rows, the first is row 2 ('1,291')"),
            (GOOD.replace("1.5", "$1"), "amount: 1 of 2 rows"),
            (GOOD.replace("\n2,", "\n2.0,"), "sale: 1 of 2 rows, the first is row 2 ('2.0')"),
            (GOOD.replace("\n2,", "\n20000000000000000000,"), "a whole number that its type (int64) can hold"),
            (GOOD.replace("2024-01-04", "01/04/2024"), "day: 1 of 2 rows"),
            (GOOD.replace("2024-01-04", "2024-02-30"), "day: 1 of 2 rows"),
            (GOOD.replace("note", "remark"), "If it was renamed, say so in the declaration's columns (note: remark)"),
            (GOOD.replace(",note", ",sale"), "names a column twice"),
            (
                GOOD.replace("sale,", "sale,more,").replace("\n1,", "\n1,x,").replace("\n2,", "\n2,x,"),
                "unexpected: more",
            ),
            (GOOD.replace("first", "fi\0rst"), "NUL bytes"),
            ("<html><body>Log in</body></html>\n", "missing: sale, day, amount, note"),
        ],
        ids=lambda value: value[:30] if value.isprintable() else repr(value[-20:]),
    )
    def test_text_that_is_not_what_the_contract_asks_for(self, folder: Path, content: str, told: str) -> None:
        file = folder / "2024-01.csv"
        file.write_text(GOOD)
        assert run(sales(folder)).success
        file.write_text(content)
        done = run(sales(folder))
        assert not done.success
        assert told in done.told
        assert rows() == ROWS

    @pytest.mark.parametrize(
        "content",
        [
            gzip.compress(GOOD.encode())[:-5],
            gzip.compress(GOOD.encode()) + gzip.compress(GOOD.encode())[:-9],
            pa.compress(GOOD.encode() * 9, codec="zstd", asbytes=True)[:-4],
            pa.compress(GOOD.encode(), codec="zstd", asbytes=True) + b"junk",
            b"PK\x03\x04 cut",
        ],
        ids=["gzip", "second member", "zstd", "zstd and junk", "zip"],
    )
    def test_a_packed_file_that_is_not_whole(self, folder: Path, content: bytes) -> None:
        (folder / "2024-01.csv").write_bytes(content)
        done = run(sales(folder))
        assert not done.success
        assert "File 2024-01.csv" in done.told
        assert "unexpected" not in done.told
        assert rows() == []

    def test_text_of_another_encoding(self, folder: Path) -> None:
        (folder / "2024-01.csv").write_bytes(GOOD.replace("first", "süß").encode("latin-1"))
        assert "its text is not utf-8" in run(sales(folder)).told
        (folder / "2024-01.csv").write_bytes(GOOD.replace("first", "süß").encode())
        assert "its text is UTF-8, not latin-1" in run(sales(folder, format=Delimited(encoding="latin-1"))).told

    def test_a_row_that_looks_like_the_partition_without_equalling_it(self, folder: Path) -> None:
        header = "month,sale,day,amount,note\n"
        (folder / "all.csv").write_text(f"{header}2024-01,1,2024-01-03,1.5,first\n2024-01 ,2,2024-01-04,2,\n")
        done = run(sales(folder, file="all.csv"))
        assert "1 of its rows are of no partition of the table (month: '2024-01 ')" in done.told
        (folder / "2024-01.csv").write_text(f"{header}2024-01,1,2024-01-03,1.5,first\n2024-01.0,2,2024-01-04,2,\n")
        done = run(sales(folder))
        assert "month: 1 of 2 rows, the first is row 2 ('2024-01.0')" in done.told

    def test_a_line_of_a_file_of_all_partitions_that_does_not_parse(self, folder: Path) -> None:
        (folder / "all.csv").write_text("month,sale,day,amount,note\n2024-01,1,2024-01-03,1.5,first\n2024-01,2\n")
        assert "line 3 has 2 fields where 5 are expected" in run(sales(folder, file="all.csv")).told

    def test_a_file_that_is_not_there(self, folder: Path) -> None:
        done = run(sales(folder))
        assert "File 2024-01.csv" in done.told
        assert "it is not there" in done.told

    def test_no_value_of_a_person_is_told(self, folder: Path) -> None:
        source = FileSource(contract=CUSTOMERS, path=str(folder), file="{month}.csv", whole=Quiet(seconds=0), retries=0)
        for content in (
            "name,visits\nJohanna,three\n",
            "name,visits\nJohanna,1,2\n",
            'name,visits\n"Johanna,1\n',
            "Johanna,Johanna\nPeter,2\n",
            "Johanna,1\nPeter,2\n",
            "name,visits\nJohanna,1\nPeter,99999999999\n",
        ):
            (folder / "2024-01.csv").write_text(content)
            done = run(source)
            assert not done.success
            assert "Johanna" not in done.told
            assert "Peter" not in done.told


class TestWholeness:
    def test_a_file_that_is_still_written_is_left_alone(self, folder: Path) -> None:
        (folder / "2024-01.csv").write_text(GOOD)
        assert "may still be written" in run(sales(folder, whole=Quiet(seconds=60))).told
        old = time.time() - 61
        os.utime(folder / "2024-01.csv", (old, old))
        assert run(sales(folder, whole=Quiet(seconds=60))).success

    def test_a_marker_says_that_it_is_complete(self, folder: Path) -> None:
        (folder / "2024-01.csv").write_text(GOOD)
        assert "the file is not complete" in run(sales(folder, whole=Marker())).told
        (folder / "2024-01.csv.done").touch()
        assert run(sales(folder, whole=Marker())).success

    def test_a_marker_that_is_older_than_the_file_speaks_of_another_one(self, folder: Path) -> None:
        file, marker = folder / "2024-01.csv", folder / "2024-01.csv.done"
        file.write_text(GOOD)
        marker.touch()
        assert run(sales(folder, whole=Marker())).success
        file.write_text(GOOD.replace("first", "half"))
        later = time.time() + 10
        os.utime(file, (later, later))
        assert "changed since its marker was written" in run(sales(folder, whole=Marker())).told
        os.utime(marker, (later, later))
        assert run(sales(folder, whole=Marker())).success

    def test_a_file_that_was_changed_in_the_future_is_told(self, folder: Path) -> None:
        file = folder / "2024-01.csv"
        file.write_text(GOOD)
        later = time.time() + 3600
        os.utime(file, (later, later))
        assert "in the future" in run(sales(folder, whole=Quiet(seconds=60))).told

    def test_a_file_that_changes_while_it_is_read_is_refused(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = folder / "2024-01.csv"
        file.write_text(GOOD)
        copied = Place.copied

        def and_then_changed(self: Place, path: str, target: Path) -> tuple[int, str]:
            done = copied(self, path, target)
            file.write_text(GOOD.replace("first", "another"))
            return done

        monkeypatch.setattr(Place, "copied", and_then_changed)
        assert "it was changed while it was read" in run(sales(folder)).told
        assert rows() == []

    @pytest.mark.parametrize("line", ["{digest}  2024-01.csv\n", "{digest} *2024-01.csv\n", "{digest}\n"])
    def test_a_checksum_proves_it(self, folder: Path, line: str) -> None:
        (folder / "2024-01.csv").write_text(GOOD[:-1])
        beside = folder / "2024-01.csv.sha256"
        beside.write_text(line.format(digest=hashlib.sha256(GOOD.encode()).hexdigest()))
        assert "SHA-256 is not the one" in run(sales(folder, whole=Checksum())).told
        beside.write_text(line.format(digest=hashlib.sha256(GOOD[:-1].encode()).hexdigest()))
        done = run(sales(folder, whole=Checksum()))
        assert done.success, done.told

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ({"bytes": len(GOOD)}, None),
            ({"sha256": hashlib.sha256(GOOD.encode()).hexdigest().upper(), "rows": 2}, None),
            ({"bytes": len(GOOD) + 1}, "its manifest says"),
            ({"bytes": len(GOOD), "rows": 3}, "it holds 2 rows, its manifest says 3"),
            ({"rows": 2}, "says neither sha256 nor bytes"),
            ({"bytes": True}, "bytes is no whole number"),
            ({"sha256": "abc"}, "is no SHA-256"),
            ([], "is no JSON object"),
        ],
        ids=str,
    )
    def test_a_manifest_says_what_must_be_there(self, folder: Path, said: object, told: str | None) -> None:
        (folder / "2024-01.csv").write_text(GOOD)
        # A manifest may have a byte order mark.
        (folder / "manifest.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(said).encode())
        done = run(sales(folder, whole=Manifest()))
        assert done.success == (told is None), done.told
        assert (told or "") in done.told

    @pytest.mark.parametrize(
        ("named", "told"),
        [
            ("sales-20240204T0613.csv", None),
            ("gone.csv", "File 2024-01/gone.csv"),
            ("../2024-02/sales.csv", "its file is no name of a file beside it"),
            (".sales.csv", "its file is no name of a file beside it"),
            (7, "its file is no name of a file beside it"),
        ],
    )
    def test_a_manifest_names_the_file_where_its_sender_chooses_the_name(
        self, folder: Path, named: object, told: str | None
    ) -> None:
        (folder / "2024-01").mkdir()
        (folder / "2024-01" / "sales-20240204T0613.csv").write_text(GOOD)
        (folder / "2024-01" / "manifest.json").write_text(json.dumps({"file": named, "bytes": len(GOOD)}))
        done = run(sales(folder, file="{month}/manifest.json", whole=Manifest(file="file")))
        assert done.success == (told is None), done.told
        assert (told or "") in done.told
        if told is None:
            assert done.metadata["file"] == "2024-01/sales-20240204T0613.csv"

    @pytest.mark.parametrize(("stated", "success"), [(3, True), (2, False)])
    def test_a_manifest_counts_the_rows_of_all_partitions(self, folder: Path, stated: int, success: bool) -> None:  # noqa: FBT001
        content = (
            "month,sale,day,amount,note\n2024-01,1,2024-01-03,1.5,\n2024-02,1,2024-02-03,3,\n2024-02,2,2024-02-03,3,\n"
        )
        (folder / "all.csv").write_text(content)
        (folder / "manifest.json").write_text(json.dumps({"bytes": len(content), "rows": stated}))
        done = run(sales(folder, file="all.csv", whole=Manifest()))
        assert done.success == success, done.told
        assert success or "it holds 3 rows, its manifest says 2" in done.told


class OlderSales(FileSource):
    """Sales as they were delivered before notes were taken, and with a column that stands twice if so told."""

    twice: bool = False

    def read(self, request: Request) -> Delivered:
        """The rows without a note."""
        delivered = super().read(request)
        rows = delivered.rows.project("*, sale" if self.twice else "*")
        return dataclasses.replace(delivered, rows=rows, absent={"note"})


class TestAKindOfYourOwn:
    def older(self, folder: Path, **options: Any) -> OlderSales:  # noqa: ANN401  a declaration's
        (folder / "2024-01.csv").write_text("sale,day,amount\n1,2024-01-03,1.5\n")
        return OlderSales(
            contract=SALES, path=str(folder), file="{month}.csv", whole=Quiet(seconds=0), retries=0, **options
        )

    def test_columns_that_a_delivery_never_has_are_null(self, folder: Path) -> None:
        done = run(self.older(folder))
        assert done.success, done.told
        assert rows() == [(*ROWS[0][:-1], None)]

    def test_columns_that_it_should_not_have_are_refused(self, folder: Path) -> None:
        source = self.older(folder)
        (folder / "2024-01.csv").write_text(GOOD)
        assert "(unexpected: note)" in run(source).told

    def test_a_column_that_stands_twice_is_refused(self, folder: Path) -> None:
        assert "(unexpected: sale)" in run(self.older(folder, twice=True)).told

    def test_what_was_unpacked_is_gone_when_the_rows_are_audited(self, folder: Path) -> None:
        source = self.older(folder)
        with LakeSession(Settings.load()) as session:
            made = extracted(source, Partition("2024-01", {"month": "2024-01"}), session, {})
            assert [each for each in session.scratch.iterdir() if each.name != ".in-use"] == [made.value]


class TestDeclaration:
    def test_yaml_says_the_same_as_python(self, folder: Path) -> None:
        source = FileSource.resolve_from_yaml(
            f"""
            contract: mlops_assets_tests.plumbing.sources.shop.SALES
            path: {folder}
            file: "{{month}}.tsv"
            format: {{type: delimited, delimiter: "\\t", encoding: latin-1}}
            whole: {{type: checksum}}
            columns: {{sale: SaleNo}}
            retries: 0
            """
        )
        assert source == FileSource(
            contract=SALES,
            path=str(folder),
            file="{month}.tsv",
            format=Delimited(delimiter="\t", encoding="latin-1"),
            whole=Checksum(),
            columns={"sale": "SaleNo"},
            retries=0,
        )

    def test_an_environment_variable_gives_the_path_when_it_is_asked(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "2024-01.csv").write_text(GOOD)
        source = FileSource(
            contract=SALES, path=dg.EnvVar("SHOP_FOLDER"), file="{month}.csv", whole=Quiet(seconds=0), retries=0
        )
        assert "Variable SHOP_FOLDER: it is not set" in run(source).told
        monkeypatch.setenv("SHOP_FOLDER", str(folder))
        assert run(source).success

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"file": "{year}.csv"}, "names {year}. There is: {end}, {month}, {partition}, {start}"),
            ({"file": "{month.csv"}, "cannot be filled in"),
            ({"file": "{month:.4}.csv"}, "with a conversion or a format"),
            ({"file": "{month!r}.csv"}, "with a conversion or a format"),
            ({"file": "{start:%Y}.csv"}, "does not tell every partition from the others"),
            ({"file": ""}, "is no name below its path"),
            ({"file": "../{month}.csv"}, "is no name below its path"),
            ({"file": "/{month}.csv"}, "is no name below its path"),
            ({"columns": {"sal": "No"}}, "columns name sal, which is no column"),
            ({"formats": {"dai": "%d"}}, "formats name dai"),
        ],
    )
    def test_what_cannot_be_meant_is_refused_where_it_is_declared(
        self, folder: Path, options: dict[str, Any], told: str
    ) -> None:
        with pytest.raises(ContractError, match=told.replace("{", r"\{").replace("(", r"\(")):
            sales(folder, **options)

    def test_a_contract_that_is_not_there_is_named(self) -> None:
        with pytest.raises(Exception, match=r"Contract shop\.NONE: it is not there"):
            FileSource.resolve_from_yaml("contract: shop.NONE\npath: x\nfile: x.csv\n")

    def test_another_declaration_is_another_code_version_and_another_place_is_not(self, folder: Path) -> None:
        version = sales(folder).code_version()
        assert sales(folder / "elsewhere").code_version() == version
        assert sales(folder, format=Delimited(delimiter=";")).code_version() != version
        assert sales(folder, columns={"sale": "No"}).code_version() != version

    @pytest.mark.parametrize(
        ("option", "told"),
        [
            ("format: {type: delimted}", "Did you mean delimited?"),
            ("whole: {type: quiet, secs: 3}", "secs"),
            ("whole: {seconds: 3}", "there is no such type here, but quiet, marker, checksum, manifest"),
        ],
    )
    def test_yaml_that_names_no_variant_is_told_of_that_one_alone(self, option: str, told: str) -> None:
        with pytest.raises(ResolutionException, match=re.escape(told)) as caught:
            FileSource.resolve_from_yaml(
                f"contract: mlops_assets_tests.plumbing.sources.shop.SALES\npath: x\nfile: x.csv\n{option}\n"
            )
        assert "Fixed" not in str(caught.value)
