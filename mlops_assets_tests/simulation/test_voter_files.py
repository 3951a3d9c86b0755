"""Voter files: official layout, encoding, manifest, and the office's mistakes."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from mlops_assets.contracts.layouts import COLUMNS_FROM_2022_02_12, COLUMNS_UNTIL_2022_02_05
from mlops_assets.simulation.geography import NEW_NUMBERS
from mlops_assets_tests.simulation.dropped_files import DroppedFiles, address_of, flows

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("state", ["GA", "NC"])
@pytest.mark.parametrize(
    ("month", "layout", "columns"),
    [
        ("2022-02", "until-2022-02-05", COLUMNS_UNTIL_2022_02_05),
        ("2022-03", "from-2022-02-12", COLUMNS_FROM_2022_02_12),
    ],
)
def test_a_file_has_the_columns_that_were_official_on_its_day(
    dropped: DroppedFiles, state: str, month: str, layout: str, columns: tuple[str, ...]
) -> None:
    first_line = dropped.content(state, month).split(b"\r\n", 1)[0].decode("latin-1")

    assert first_line == "\t".join(f'"{name}"' for name in columns)
    assert dropped.manifest(state, month)["layout"] == layout


def test_the_text_is_latin_1_with_accents_and_every_field_quoted(dropped: DroppedFiles) -> None:
    content = dropped.content("NC", "2022-03")

    with pytest.raises(UnicodeDecodeError):
        content.decode("utf-8")
    assert "Ñ" in content.decode("latin-1")
    lines = content.decode("latin-1").split("\r\n")
    assert lines.pop() == ""
    field = re.compile(r'"[^"\t\r\n]*"')
    assert all(field.fullmatch(part) for line in lines for part in line.split("\t"))


def test_the_manifest_tells_the_truth_about_the_archive(dropped: DroppedFiles) -> None:
    manifest = dropped.manifest("GA", "2021-09")
    archive = dropped.landing / "GA" / "2021-09" / "ncvoter.zip"

    assert manifest == {
        "state": "GA",
        "month": "2021-09",
        "snapshot_date": "2021-09-01",
        "file": "ncvoter.zip",
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "bytes": archive.stat().st_size,
        "rows": dropped.content("GA", "2021-09").count(b"\r\n") - 1,
        "layout": "until-2022-02-05",
    }


def test_values_are_plausible_in_every_row(dropped: DroppedFiles) -> None:
    for row in dropped.rows("NC", "2022-03"):
        assert re.fullmatch(r"[A-D][A-Z]\d{6}", row["ncid"])
        assert re.fullmatch(r"\d\d/\d\d/\d{4}", row["registr_dt"])
        assert 18 <= int(row["age_at_year_end"]) == 2022 - int(row["birth_year"]) <= 102
        assert int(row["registr_dt"][-4:]) >= int(row["birth_year"]) + 18
        assert row["registr_dt"][-4:] < "2022" or row["registr_dt"][:2] < "03"
        assert 1 <= int(row["cong_dist_abbrv"]) <= 14
        assert not row["cong_dist_abbrv"].startswith("0")
        assert (row["status_cd"], row["voter_status_desc"]) in {("A", "ACTIVE"), ("I", "INACTIVE")}
        assert 1 <= int(row["county_id"]) <= 100
        assert row["state_cd"] == "NC"
        assert row["water_dist_desc"] == ""
        assert len(row["municipality_abbrv"]) <= 6
    assert all(re.fullmatch(r"GA\d{6}", row["ncid"]) for row in dropped.rows("GA", "2021-07"))


def test_nobody_is_in_an_ordinary_file_twice_and_addresses_lie_in_one_precinct(dropped: DroppedFiles) -> None:
    rows = dropped.rows("NC", "2022-03")
    precinct_by_address: dict[tuple[str, ...], str] = {}
    for row in rows:
        assert precinct_by_address.setdefault(address_of(row), row["precinct_desc"]) == row["precinct_desc"]

    assert len({row["ncid"] for row in rows}) == len(rows)
    assert len(precinct_by_address) < 0.7 * len(rows)


def test_the_doubled_month_holds_every_row_twice_and_the_next_month_does_not(dropped: DroppedFiles) -> None:
    lines = Counter(dropped.content("GA", "2022-07").split(b"\r\n")[1:-1])

    assert set(lines.values()) == {2}
    assert dropped.manifest("GA", "2022-07")["rows"] == 2 * len(lines)
    assert set(Counter(row["ncid"] for row in dropped.rows("GA", "2022-08")).values()) == {1}
    assert set(Counter(row["ncid"] for row in dropped.rows("NC", "2022-07")).values()) == {1}


def test_georgia_writes_npa_for_una_from_february_2022_on_and_changes_nothing_else(dropped: DroppedFiles) -> None:
    before, after = dropped.by_person("GA", "2022-01"), dropped.by_person("GA", "2022-02")
    both = before.keys() & after.keys()
    recoded = [one for one in both if (before[one]["party_cd"], after[one]["party_cd"]) == ("UNA", "NPA")]

    assert not [row for row in after.values() if row["party_cd"] == "UNA"]
    assert not [row for row in before.values() if row["party_cd"] == "NPA"]
    assert 0.2 < len(recoded) / len(both) < 0.35
    assert "NPA" in {row["party_cd"] for row in dropped.rows("GA", "2022-12")}
    assert "NPA" not in {row["party_cd"] for row in dropped.rows("NC", "2022-02")}


def test_georgias_renumbering_is_a_permutation_that_moves_nobody(dropped: DroppedFiles) -> None:
    before, after = dropped.by_person("GA", "2022-04"), dropped.by_person("GA", "2022-05")
    moved_codes = flows(before, after)

    assert {(int(old), int(new)) for old, new in moved_codes} == set(NEW_NUMBERS.items())
    for one in before.keys() & after.keys():
        if address_of(before[one]) == address_of(after[one]):
            old = int(before[one]["cong_dist_abbrv"])
            assert int(after[one]["cong_dist_abbrv"]) == NEW_NUMBERS.get(old, old)
            assert before[one]["precinct_abbrv"] == after[one]["precinct_abbrv"]


def test_north_carolina_is_redrawn_from_13_to_14_districts_of_about_equal_size(dropped: DroppedFiles) -> None:
    before = Counter(row["cong_dist_abbrv"] for row in dropped.rows("NC", "2022-02"))
    after = Counter(row["cong_dist_abbrv"] for row in dropped.rows("NC", "2022-03"))
    moved = flows(dropped.by_person("NC", "2022-02"), dropped.by_person("NC", "2022-03"))

    assert set(before) == {str(number) for number in range(1, 14)}
    assert set(after) == {str(number) for number in range(1, 15)}
    assert min(after.values()) > 0.6 * max(after.values())
    assert 0.15 < moved.total() / after.total() < 0.4
    assert not flows(dropped.by_person("NC", "2022-03"), dropped.by_person("NC", "2022-04"))


def test_the_shift_brings_young_people_to_one_district(dropped: DroppedFiles) -> None:
    before, after = dropped.by_person("NC", "2022-08"), dropped.by_person("NC", "2022-09")
    new = [row for one, row in after.items() if one not in before]
    there = [row for row in new if row["cong_dist_abbrv"] == "4"]
    inhabitants = sum(row["cong_dist_abbrv"] == "4" for row in before.values())

    assert 0.09 < len(there) / inhabitants < 0.13
    assert sum(int(row["age_at_year_end"]) < 26 for row in there) / len(there) > 0.9


def test_a_file_appears_only_whole_and_before_its_manifest(dropped: DroppedFiles, tmp_path: Path) -> None:
    manifest = dropped.systems.drop("NC", "2021-07", tmp_path)

    assert manifest == tmp_path / "NC" / "2021-07" / "manifest.json"
    archive = manifest.with_name("ncvoter.zip")
    assert archive.stat().st_mtime_ns <= manifest.stat().st_mtime_ns
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["2021-07", "NC", "manifest.json", "ncvoter.zip"]
