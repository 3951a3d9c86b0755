"""Tests of the landing folder: whole files are read exactly, all others are refused with one clear message."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import duckdb
import pytest

from mlops_assets.contracts.layouts import COLUMNS_FROM_2022_02_12, COLUMNS_UNTIL_2022_02_05, VOTER_FILE_COLUMNS
from mlops_assets.contracts.raw import VOTER_FILE
from mlops_assets.platform.errors import ContractError, SourceError, SourceUnavailableError
from mlops_assets.plumbing.connectors.extract import arrow_schema
from mlops_assets.plumbing.connectors.landing import Landing
from mlops_assets.plumbing.sources import archive
from mlops_assets_tests.plumbing.voter_files import LAST_NAME, Delivery, text, voters

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.plumbing.connectors.landing import VoterFile


@pytest.fixture
def delivery(tmp_path: Path) -> Delivery:
    return Delivery(tmp_path / "landing")


def read(delivery: Delivery, connection: duckdb.DuckDBPyConnection | None = None) -> VoterFile:
    scratch = delivery.landing.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return Landing(delivery.landing).read(
        connection or duckdb.connect(), scratch, state=delivery.state, month=delivery.month
    )


def rows(delivery: Delivery, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
    return held(read(delivery, connection))


def held(voter_file: VoterFile) -> duckdb.DuckDBPyRelation:
    return duckdb.read_parquet(str(voter_file.file))


def refusal(delivery: Delivery) -> str:
    with pytest.raises(SourceError) as caught:
        read(delivery)
    error = caught.value
    assert error.source.startswith("Landing ")
    assert error.culprit
    assert error.remedy
    assert LAST_NAME not in str(error)
    assert str(delivery.landing) not in str(error)
    return str(error)


def test_a_whole_file_gives_exactly_the_columns_of_the_contract(delivery: Delivery) -> None:
    delivery.drop_voters(voters(3))
    voter_file = read(delivery)
    assert sorted(held(voter_file).columns) == sorted(arrow_schema(VOTER_FILE).names)
    types = dict(zip(held(voter_file).columns, map(str, held(voter_file).types), strict=True))
    assert types.pop("source_row") == "BIGINT"
    assert set(types.values()) == {"VARCHAR"}
    assert voter_file.layout == "from-2022-02-12"
    assert held(voter_file).select("state, month, layout, source_file, source_row, ncid, birth_age").fetchall() == [
        ("NC", "2022-03", "from-2022-02-12", "NC/2022-03/ncvoter.zip", n, f"AA{n}", None) for n in (1, 2, 3)
    ]


def test_values_arrive_as_they_were_delivered(delivery: Delivery) -> None:
    quoted_empty = text(voters(1))
    unquoted_empty = quoted_empty.replace('\t""', "\t")
    delivery.drop(quoted_empty, rows=1)
    columns = "first_name, res_street_address, name_suffix_lbl"
    assert rows(delivery).select(columns).fetchall() == [("JOS\u00c9", "12  MAIN ST   ", "")]
    delivery.drop(unquoted_empty, rows=1)
    assert rows(delivery).select(columns).fetchall() == [("JOS\u00c9", "12  MAIN ST   ", None)]


def test_the_layout_is_recognised_by_the_header_not_by_the_manifest(delivery: Delivery) -> None:
    delivery.drop(text(voters(2), columns=COLUMNS_UNTIL_2022_02_05), rows=2)
    delivery.write_manifest(rows=2, layout="from-2022-02-12")
    voter_file = read(delivery)
    assert voter_file.layout == "until-2022-02-05"
    assert held(voter_file).select("ncid, birth_age, age_at_year_end").fetchall() == [
        ("AA1", "", None),
        ("AA2", "", None),
    ]


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_both_kinds_of_line_ends_are_read(delivery: Delivery, line_end: str) -> None:
    delivery.drop(text(voters(4), line_end=line_end), rows=4)
    assert rows(delivery).select("ncid").fetchall() == [("AA1",), ("AA2",), ("AA3",), ("AA4",)]


def test_a_quoted_line_end_and_a_doubled_quotation_mark_belong_to_their_field(delivery: Delivery) -> None:
    delivery.drop(text(voters(2, mail_addr1='C/O ""THE\nFIRM""')), rows=2)
    assert rows(delivery).select("source_row, mail_addr1").fetchall() == [
        (1, 'C/O "THE\nFIRM"'),
        (2, 'C/O "THE\nFIRM"'),
    ]


def test_source_rows_follow_the_file_when_many_threads_read_it(delivery: Delivery) -> None:
    count = 60_000
    delivery.drop_voters(voters(count))
    connection = duckdb.connect(config={"threads": 4, "preserve_insertion_order": False})
    read_back = rows(delivery, connection)
    assert read_back.filter("ncid <> 'AA' || source_row").shape[0] == 0
    assert read_back.aggregate("count(DISTINCT source_row), min(source_row), max(source_row)").fetchall() == [
        (count, 1, count)
    ]


def test_a_doubled_load_whose_manifest_agrees_flows_through(delivery: Delivery) -> None:
    delivery.drop_voters([*voters(3), *voters(3)])
    assert rows(delivery).aggregate("count(*), count(DISTINCT ncid)").fetchall() == [(6, 3)]


def test_a_confidential_voter_without_a_state_is_not_of_another_state(delivery: Delivery) -> None:
    delivery.drop_voters([*voters(1, state_cd=""), *voters(1, state_cd=" ")])
    assert rows(delivery).shape[0] == 2


def test_a_missing_column_is_named(delivery: Delivery) -> None:
    columns = [column for column in COLUMNS_FROM_2022_02_12 if column != "party_cd"]
    delivery.drop(text(voters(2), columns=columns), rows=2)
    assert (
        "Landing file NC/2022-03/ncvoter.zip: it holds 66 columns, layout from-2022-02-12 expects 67 "
        "(missing: party_cd)." in refusal(delivery)
    )


def test_an_extra_column_is_named(delivery: Delivery) -> None:
    delivery.drop(text(voters(2), columns=[*COLUMNS_FROM_2022_02_12, "email"]), rows=2)
    assert "it holds 68 columns, layout from-2022-02-12 expects 67 (unexpected: email)." in refusal(delivery)


def test_a_renamed_column_is_named_with_its_old_name(delivery: Delivery) -> None:
    columns = ["party" if column == "party_cd" else column for column in COLUMNS_FROM_2022_02_12]
    delivery.drop(text(voters(2), columns=columns), rows=2)
    assert "(missing: party_cd; unexpected: party)." in refusal(delivery)


def test_a_column_delivered_twice_is_named(delivery: Delivery) -> None:
    delivery.drop(text(voters(2), columns=[*COLUMNS_FROM_2022_02_12, "ncid"]), rows=2)
    assert "(repeated: ncid)." in refusal(delivery)


def test_columns_in_another_order_are_refused(delivery: Delivery) -> None:
    delivery.drop(text(voters(2), columns=COLUMNS_FROM_2022_02_12[::-1]), rows=2)
    assert "(the same ones in another order)." in refusal(delivery)


def test_a_file_without_header_line_is_refused_without_showing_a_person(delivery: Delivery) -> None:
    delivery.drop(text(voters(3)).split("\r\n", 1)[1], rows=3)
    assert "its first line is not a header: 0 of the 67 columns" in refusal(delivery)


def test_an_empty_text_is_refused(delivery: Delivery) -> None:
    delivery.drop("", rows=1)
    assert "its first line is not a header" in refusal(delivery)


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8", "its text is UTF-8, not Latin-1 (3 of 3 groups"),
        ("utf-8-sig", "its text is UTF-8 with a byte order mark, not Latin-1."),
        ("utf-16", "its text is UTF-16, not Latin-1."),
        ("utf-16-le", "its text holds NUL bytes"),
    ],
)
def test_another_encoding_is_refused_by_name(delivery: Delivery, encoding: str, told: str) -> None:
    delivery.drop(text(voters(3)).encode(encoding), rows=3)
    assert told in refusal(delivery)


def test_a_garbled_name_among_latin_1_names_passes(delivery: Delivery) -> None:
    delivery.drop_voters([*voters(3), *voters(1, first_name="JOS\u00c3\u00a9")])
    assert rows(delivery).filter("first_name = 'JOS\u00c3\u00a9'").shape[0] == 1


def test_a_line_with_too_few_fields_is_refused_by_its_number(delivery: Delivery) -> None:
    lines = text(voters(4)).split("\r\n")
    lines[2] = lines[2].rpartition("\t")[0]
    delivery.drop("\r\n".join(lines), rows=4)
    assert "line 3 has 66 fields where 67 are expected." in refusal(delivery)


def test_a_line_with_too_many_fields_is_refused_by_its_number(delivery: Delivery) -> None:
    lines = text(voters(4)).split("\r\n")
    lines[4] += '\t"MORE"'
    delivery.drop("\r\n".join(lines), rows=4)
    assert "line 5 has 68 fields where 67 are expected." in refusal(delivery)


def test_a_text_cut_off_within_its_last_line_is_refused(delivery: Delivery) -> None:
    whole = text(voters(4)).rstrip("\r\n")
    delivery.drop(whole[:-1], rows=4)
    assert "line 5 has a quotation mark that is not closed" in refusal(delivery)


def test_rows_of_another_state_are_refused_by_count_and_place(delivery: Delivery) -> None:
    delivery.drop_voters([*voters(3), *voters(2, state_cd="GA"), *voters(1)])
    assert "2 of its rows are of another state than NC by state_cd; the first is row 4." in refusal(delivery)


def test_a_manifest_of_another_state_is_refused(delivery: Delivery) -> None:
    delivery.drop_voters(voters(2))
    delivery.write_manifest(rows=2, state="GA")
    assert "it names state 'GA', month '2022-03'" in refusal(delivery)


def test_a_manifest_of_another_month_is_refused(delivery: Delivery) -> None:
    delivery.drop_voters(voters(2))
    delivery.write_manifest(rows=2, snapshot_date="2022-04-01")
    assert "snapshot date 2022-04-01" in refusal(delivery)


@pytest.mark.parametrize("stated", [2, 4])
def test_a_manifest_with_another_count_is_refused(delivery: Delivery, stated: int) -> None:
    delivery.drop(text(voters(3)), rows=stated)
    assert f"it holds 3 rows, its manifest says {stated}." in refusal(delivery)


def test_a_file_cut_off_after_its_manifest_was_made_is_refused(delivery: Delivery) -> None:
    delivery.drop_voters(voters(50))
    whole = delivery.file.read_bytes()
    delivery.file.write_bytes(whole[:-100])
    assert f"it has {len(whole) - 100} bytes, its manifest says {len(whole)}: cut off" in refusal(delivery)


def test_a_damaged_file_is_refused_by_its_digest(delivery: Delivery) -> None:
    delivery.drop_voters(voters(50))
    content = bytearray(delivery.file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    delivery.file.write_bytes(content)
    assert "its SHA-256 is not the one in its manifest" in refusal(delivery)


def test_a_truncated_archive_is_refused_even_if_its_manifest_agrees(delivery: Delivery) -> None:
    delivery.drop_voters(voters(50))
    whole = delivery.file.read_bytes()
    for kept in (len(whole) - 1, len(whole) // 2, 10):
        delivery.file.write_bytes(whole[:kept])
        delivery.write_manifest(rows=50)
        assert "it is not a whole zip archive: truncated or damaged." in refusal(delivery)


def test_an_archive_damaged_inside_is_refused_even_if_its_manifest_agrees(delivery: Delivery) -> None:
    delivery.drop_voters(voters(500))
    content = bytearray(delivery.file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    delivery.file.write_bytes(content)
    delivery.write_manifest(rows=500)
    assert "it is not a whole zip archive: truncated or damaged." in refusal(delivery)


@pytest.mark.parametrize("names", [(), ("a.txt", "b.txt")])
def test_an_archive_without_exactly_one_member_is_refused(delivery: Delivery, names: tuple[str, ...]) -> None:
    with zipfile.ZipFile(delivery.file, "w") as packed:
        for name in names:
            packed.writestr(name, text(voters(1)))
    delivery.write_manifest(rows=1)
    assert f"it holds {len(names)} members, not one text file." in refusal(delivery)


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "in/side.txt", "C:out.txt", "..\\out.txt", "folder/"])
def test_a_member_whose_name_leads_elsewhere_is_refused(delivery: Delivery, name: str) -> None:
    delivery.drop(text(voters(1)) if not name.endswith("/") else "", rows=1, member=name)
    assert "the name of its member is a folder, a link or leads out of the archive." in refusal(delivery)


def test_a_member_that_is_a_link_is_refused(delivery: Delivery) -> None:
    link = zipfile.ZipInfo("voters.txt")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(delivery.file, "w") as packed:
        packed.writestr(link, "/etc/passwd")
    delivery.write_manifest(rows=1)
    assert "is a folder, a link or leads out" in refusal(delivery)


def test_a_zip_bomb_is_refused_by_what_it_declares(delivery: Delivery) -> None:
    delivery.drop(b"\t" * 2_000_000, rows=1)
    assert f"at most {archive.MOST_BYTES} bytes and {archive.MOST_RATIO} per compressed byte" in refusal(delivery)


def test_a_file_that_has_not_arrived_can_be_tried_again(delivery: Delivery) -> None:
    with pytest.raises(SourceUnavailableError, match="no complete file has arrived"):
        read(delivery)


def test_a_manifest_without_its_file_is_refused(delivery: Delivery) -> None:
    delivery.write_manifest(rows=1, bytes=10)
    assert "Landing file NC/2022-03/ncvoter.zip: it is not there, but its manifest is." in refusal(delivery)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"state": "NC"', "it is not a manifest (the text: Invalid JSON"),
        ("{}", "state: Field required"),
        ("[]", "it is not a manifest"),
        (" " * 70_000, "it has more than 65536 bytes"),
    ],
)
def test_a_text_that_is_no_manifest_is_refused(delivery: Delivery, content: str, told: str) -> None:
    (delivery.folder / "manifest.json").write_text(content, encoding="utf-8")
    assert told in refusal(delivery)


@pytest.mark.parametrize("file", ["../../GA/2022-03/ncvoter.zip", "/etc/passwd", ".zip", "ncvoter.txt"])
def test_a_manifest_that_points_elsewhere_is_refused(delivery: Delivery, file: str) -> None:
    delivery.drop_voters(voters(1))
    delivery.write_manifest(rows=1, file=file)
    assert "file: String should match pattern" in refusal(delivery)


@pytest.mark.parametrize(("state", "month"), [("TX", "2022-03"), ("NC", "1999-01"), ("..", "2022-03")])
def test_an_unknown_partition_is_refused_before_the_folder_is_touched(tmp_path: Path, state: str, month: str) -> None:
    with pytest.raises(ContractError, match="it is not one of the contract's partitions"):
        Landing(tmp_path).read(duckdb.connect(), tmp_path, state=state, month=month)


def test_columns_of_both_layouts_are_all_in_the_contract() -> None:
    assert set(VOTER_FILE_COLUMNS) == {*COLUMNS_FROM_2022_02_12, *COLUMNS_UNTIL_2022_02_05}
