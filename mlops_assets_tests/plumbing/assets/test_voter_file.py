"""Tests of the voter file's declaration: whole files are read exactly, others refused with one clear message."""

from __future__ import annotations

import gzip
import shutil
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import duckdb
import pytest

from mlops_assets.contracts.layouts import COLUMNS_FROM_2022_02_12, COLUMNS_UNTIL_2022_02_05, VOTER_FILE_COLUMNS
from mlops_assets.contracts.raw import VOTER_FILE
from mlops_assets.platform.assets.raw import TAG
from mlops_assets.platform.assets.step import Partition
from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.errors import ContractError, SourceError
from mlops_assets.platform.lake import raw
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.assets.voter_file import voter_file
from mlops_assets.plumbing.sources.delivered import Request
from mlops_assets.plumbing.sources.layout import Layout, conformed
from mlops_assets_tests.broken_rules import told_by
from mlops_assets_tests.plumbing.raw_layer import facts, failure, visible
from mlops_assets_tests.plumbing.voter_files import LAST_NAME, Delivery, text, voters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY: Final = "2022-03|NC"


@pytest.fixture
def delivery(home: Path) -> Delivery:
    return Delivery(home / "landing")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def read(delivery: Delivery, key: str = KEY) -> duckdb.DuckDBPyRelation:
    """The rows as they are published."""
    scratch = delivery.landing.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    request = Request(
        contract=VOTER_FILE,
        partition=Partition(key, VOTER_FILE.partition_values(key)),
        connection=duckdb.connect(config={"threads": 4}),
        scratch=scratch,
        raw=scratch / "raw",
        settings=Settings.load(),
    )
    delivered = voter_file.read(request)
    layout = Layout(source=delivered.source, columns={}, formats={}, evolve=False, absent=delivered.absent)
    return duckdb.read_parquet(str(conformed(delivered, request, layout, scratch / "rows.parquet").file))


def refusal(delivery: Delivery) -> str:
    with pytest.raises(SourceError) as caught:
        read(delivery)
    error = caught.value
    assert error.source.startswith("File NC/2022-03/")
    assert error.culprit
    assert error.remedy
    assert LAST_NAME not in str(error)
    return str(error)


def load(instance: dg.DagsterInstance, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
    return dg.materialize([voter_file.asset()], instance=instance, partition_key=KEY, raise_on_error=False, tags=tags)


class TestWhatIsRead:
    def test_a_whole_file_gives_exactly_the_columns_of_the_contract(self, delivery: Delivery) -> None:
        delivery.drop_voters(voters(3))
        rows = read(delivery)
        assert sorted(rows.columns) == sorted(columns_of(VOTER_FILE))
        types = dict(zip(rows.columns, map(str, rows.types), strict=True))
        assert types.pop("source_row") == "BIGINT"
        assert set(types.values()) == {"VARCHAR"}
        assert rows.select("state, month, layout, source_file, source_row, ncid, birth_age").fetchall() == [
            ("NC", "2022-03", "from-2022-02-12", "NC/2022-03/ncvoter.zip", n, f"AA{n}", None) for n in (1, 2, 3)
        ]

    def test_values_arrive_as_they_were_delivered(self, delivery: Delivery) -> None:
        quoted_empty = text(voters(1))
        columns = "first_name, res_street_address, name_suffix_lbl"
        delivery.drop(quoted_empty, rows=1)
        assert read(delivery).select(columns).fetchall() == [("JOS\u00c9", "12  MAIN ST   ", "")]
        delivery.drop(quoted_empty.replace('\t""', "\t"), rows=1)
        assert read(delivery).select(columns).fetchall() == [("JOS\u00c9", "12  MAIN ST   ", None)]

    def test_the_layout_is_recognised_by_the_header_not_by_the_manifest(self, delivery: Delivery) -> None:
        delivery.drop(text(voters(2), columns=COLUMNS_UNTIL_2022_02_05), rows=2)
        delivery.write_manifest(rows=2, layout="from-2022-02-12")
        assert read(delivery).select("layout, ncid, birth_age, age_at_year_end").fetchall() == [
            ("until-2022-02-05", "AA1", "", None),
            ("until-2022-02-05", "AA2", "", None),
        ]

    def test_columns_in_another_order_are_read_by_their_names(self, delivery: Delivery) -> None:
        delivery.drop_voters(voters(2))
        expected = read(delivery).fetchall()
        delivery.drop(text(voters(2), columns=COLUMNS_FROM_2022_02_12[::-1]), rows=2)
        assert read(delivery).fetchall() == expected

    def test_a_quoted_line_end_and_a_doubled_quotation_mark_belong_to_their_field(self, delivery: Delivery) -> None:
        delivery.drop(text(voters(2, mail_addr1='C/O ""THE\nFIRM""')), rows=2)
        assert read(delivery).select("source_row, mail_addr1").fetchall() == [
            (1, 'C/O "THE\nFIRM"'),
            (2, 'C/O "THE\nFIRM"'),
        ]

    def test_source_rows_follow_the_file_when_many_threads_read_it(self, delivery: Delivery) -> None:
        count = 60_000
        delivery.drop_voters(voters(count))
        rows = read(delivery)
        assert rows.filter("ncid <> 'AA' || source_row").shape[0] == 0
        assert rows.aggregate("count(DISTINCT source_row), min(source_row), max(source_row)").fetchall() == [
            (count, 1, count)
        ]

    @pytest.mark.parametrize("state_cd", ["", " ", " nc "])
    def test_a_voter_without_a_state_is_not_of_another_state(self, delivery: Delivery, state_cd: str) -> None:
        delivery.drop_voters(voters(1, state_cd=state_cd))
        assert read(delivery).select("state, state_cd").fetchall() == [("NC", state_cd)]

    def test_columns_of_both_layouts_are_all_in_the_contract(self) -> None:
        assert set(VOTER_FILE_COLUMNS) == {*COLUMNS_FROM_2022_02_12, *COLUMNS_UNTIL_2022_02_05}


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("columns", "told"),
        [
            ([column for column in COLUMNS_FROM_2022_02_12 if column != "party_cd"], "(missing: party_cd)"),
            ([column for column in COLUMNS_FROM_2022_02_12 if column != "state_cd"], "(missing: state_cd)"),
            ([*COLUMNS_FROM_2022_02_12, "email"], "(unexpected: 1 in all)"),
            ([*COLUMNS_FROM_2022_02_12, "birth_age"], "(unexpected: 1 in all)"),
            ([*COLUMNS_FROM_2022_02_12, "source_row"], "(unexpected: 1 in all)"),
            ([*COLUMNS_UNTIL_2022_02_05, "Layout"], "(unexpected: 1 in all)"),
            (
                ["party" if column == "party_cd" else column for column in COLUMNS_FROM_2022_02_12],
                "(missing: party_cd; unexpected: 1 in all)",
            ),
            ([*COLUMNS_FROM_2022_02_12, "ncid"], "its first line names a column twice"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_columns_of_no_layout_are_named(self, delivery: Delivery, columns: list[str], told: str) -> None:
        delivery.drop(text(voters(2), columns=columns), rows=2)
        assert told in refusal(delivery)

    @pytest.mark.parametrize("filled", [True, False])
    def test_a_file_without_header_line_shows_no_person(self, delivery: Delivery, filled: bool) -> None:  # noqa: FBT001
        names = {name: f"{LAST_NAME}{at}" for at, name in enumerate(COLUMNS_FROM_2022_02_12)} if filled else {}
        delivery.drop(text([{**row, **names} for row in voters(3)]).split("\r\n", 1)[1], rows=3)
        assert "may be no header" in refusal(delivery)

    def test_an_empty_text_is_refused(self, delivery: Delivery) -> None:
        delivery.drop("", rows=1)
        assert "it is empty." in refusal(delivery)

    def test_utf_8_is_refused_and_a_garbled_name_among_latin_1_names_passes(self, delivery: Delivery) -> None:
        delivery.drop(text(voters(3)).encode(), rows=3)
        assert "its text is UTF-8, not latin-1 (3 of 3 groups" in refusal(delivery)
        delivery.drop_voters([*voters(3), *voters(1, first_name="JOS\u00c3\u00a9")])
        assert read(delivery).filter("first_name = 'JOS\u00c3\u00a9'").shape[0] == 1

    @pytest.mark.parametrize(("more", "fields"), [(-1, 66), (1, 68)])
    def test_a_line_with_too_few_or_too_many_fields_is_refused_by_its_number(
        self, delivery: Delivery, more: int, fields: int
    ) -> None:
        lines = text(voters(4)).split("\r\n")
        lines[2] = lines[2] + '\t"MORE"' if more > 0 else lines[2].rpartition("\t")[0]
        delivery.drop("\r\n".join(lines), rows=4)
        assert f"line 3 has {fields} fields where 67 are expected." in refusal(delivery)

    def test_a_text_cut_off_within_its_last_line_is_refused(self, delivery: Delivery) -> None:
        delivery.drop(text(voters(4)).rstrip("\r\n")[:-1], rows=4)
        assert "line 5 has a quotation mark that is not closed" in refusal(delivery)

    def test_rows_of_another_state_are_refused_by_count_and_place(self, delivery: Delivery) -> None:
        delivery.drop_voters([*voters(3), *voters(2, state_cd="GA"), *voters(1)])
        assert "state: 2 of 6 rows, the first is row 4; it should be 'NC'" in refusal(delivery)

    def test_a_name_that_stands_where_the_state_should_is_not_told(self, delivery: Delivery) -> None:
        delivery.drop_voters(voters(2, state_cd=LAST_NAME))
        assert "state: 2 of 2 rows" in refusal(delivery)

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ({"state": "GA"}, "it names month '2022-03', state 'GA', snapshot_date '2022-03-01'."),
            ({"month": "2022-04"}, "it names month '2022-04'"),
            ({"snapshot_date": "2022-04-01"}, "snapshot_date '2022-04-01'"),
            ({"state": ["NC"]}, "state ['NC']"),
            ({"snapshot_date": None}, "snapshot_date None"),
            ({"rows": None}, "it does not say bytes, sha256, rows"),
            ({"sha256": None}, "it does not say bytes, sha256, rows"),
            ({"bytes": None}, "it does not say bytes, sha256, rows"),
            ({"file": "ncvoter.txt"}, "and the name of a zip archive (file)"),
            ({"file": "../../GA/2022-03/ncvoter.zip"}, "its file is no name of a file beside it"),
            ({"file": None}, "its file is no name of a file beside it"),
        ],
        ids=str,
    )
    def test_a_manifest_that_does_not_agree_is_refused(
        self, delivery: Delivery, said: dict[str, Any], told: str
    ) -> None:
        delivery.drop_voters(voters(2))
        delivery.write_manifest(**{"rows": 2, **said})
        assert told in refusal(delivery)

    @pytest.mark.parametrize("stated", [2, 4])
    def test_a_manifest_with_another_count_is_refused(self, delivery: Delivery, stated: int) -> None:
        delivery.drop(text(voters(3)), rows=stated)
        assert f"it holds 3 rows, its manifest says {stated}." in refusal(delivery)

    def test_a_file_cut_off_after_its_manifest_was_made_is_refused(self, delivery: Delivery) -> None:
        delivery.drop_voters(voters(50))
        whole = delivery.file.read_bytes()
        delivery.file.write_bytes(whole[:-100])
        assert f"it has {len(whole) - 100:,} bytes, its manifest says {len(whole):,}: cut off" in refusal(delivery)

    def test_a_damaged_file_is_refused_by_its_digest(self, delivery: Delivery) -> None:
        delivery.drop_voters(voters(50))
        content = bytearray(delivery.file.read_bytes())
        content[len(content) // 2] ^= 0xFF
        delivery.file.write_bytes(content)
        assert "its SHA-256 is not the one that was promised" in refusal(delivery)

    @pytest.mark.parametrize("kept", [-1, 10])
    def test_a_truncated_archive_is_refused_even_if_its_manifest_agrees(self, delivery: Delivery, kept: int) -> None:
        delivery.drop_voters(voters(50))
        delivery.file.write_bytes(delivery.file.read_bytes()[:kept])
        delivery.write_manifest(rows=50)
        assert "it is not a whole zip archive: truncated or damaged." in refusal(delivery)

    @pytest.mark.parametrize("packed", [gzip.compress, bytes])
    def test_what_an_erasure_could_not_look_into_is_refused(self, delivery: Delivery, packed: Any) -> None:  # noqa: ANN401
        delivery.file.write_bytes(packed(text(voters(2)).encode("latin-1")))
        delivery.write_manifest(rows=2)
        assert "it is no zip archive, whatever its name says." in refusal(delivery)

    def test_a_manifest_without_its_file_is_told(self, delivery: Delivery) -> None:
        delivery.write_manifest(rows=1, bytes=10)
        with pytest.raises(SourceError, match=r"File NC/2022-03/ncvoter\.zip at .*: it is not there"):
            read(delivery)

    @pytest.mark.parametrize("key", ["2022-03|TX", "1999-01|NC", "2022-03|.."])
    def test_an_unknown_partition_is_refused_before_the_folder_is_touched(self, delivery: Delivery, key: str) -> None:
        with pytest.raises(ContractError, match="it is not one of the contract's partitions"):
            read(delivery, key)


class TestWhatIsPublished:
    def test_a_delivered_file_with_its_facts(self, instance: dg.DagsterInstance, delivery: Delivery) -> None:
        delivery.drop_voters(voters(3))
        result = load(instance)
        assert result.success
        assert visible(VOTER_FILE, "ncid, source_row") == [("AA1", 1), ("AA2", 2), ("AA3", 3)]
        told = facts(result)
        assert (told["dagster/row_count"], told["layout"]) == (3, "from-2022-02-12")
        assert (told["file"], told["file_bytes"]) == ("NC/2022-03/ncvoter.zip", delivery.file.stat().st_size)
        assert len(str(told["file_sha256"])) == 64

    def test_a_doubled_load_with_a_warning(self, instance: dg.DagsterInstance, delivery: Delivery) -> None:
        delivery.drop_voters([*voters(2), *voters(2)])
        result = load(instance)
        assert result.success
        assert len(visible(VOTER_FILE, "ncid")) == 4
        assert told_by(result.get_asset_check_evaluations()) == {"contract_warnings": {"keys": 2}}

    def test_the_last_good_file_when_a_bad_one_replaces_it(
        self, instance: dg.DagsterInstance, delivery: Delivery
    ) -> None:
        delivery.drop_voters(voters(2))
        assert load(instance).success
        delivery.drop_voters(voters(3, state_cd="GA"))
        result = load(instance)
        assert not result.success
        assert "state: 3 of 3 rows" in failure(result)
        assert LAST_NAME not in str(result.all_events)
        assert visible(VOTER_FILE, "ncid, source_row") == [("AA1", 1), ("AA2", 2)]

    def test_a_file_that_was_refused_and_is_read_again_by_its_hash(
        self, instance: dg.DagsterInstance, delivery: Delivery
    ) -> None:
        delivery.drop_voters(voters(3, state_cd="GA"))
        assert not load(instance).success
        [kept] = raw.listed(Settings.load(), VOTER_FILE)
        assert "state: 3 of 3 rows" in failure(load(instance, {TAG: kept.sha256}))

    def test_nothing_where_the_folder_is_not_there_which_is_told(
        self, instance: dg.DagsterInstance, delivery: Delivery
    ) -> None:
        shutil.rmtree(delivery.landing, ignore_errors=True)
        assert "the folder is not there. Is the place mounted, and its address right?" in failure(load(instance))

    def test_nothing_of_a_file_that_has_not_arrived(self, instance: dg.DagsterInstance, delivery: Delivery) -> None:
        delivery.landing.mkdir(parents=True, exist_ok=True)
        result = load(instance)
        assert not result.success
        assert failure(result).startswith("File NC/2022-03/manifest.json at ")
        assert "it is not there, so the file is not complete." in failure(result)
