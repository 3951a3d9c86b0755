"""Tests of the district counts and of their suppression."""

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.contracts.features import DISTRICT_DEMOGRAPHICS, SMALLEST_CELL
from mlops_assets.wrangling.demographics import age_group, district_demographics
from mlops_assets.wrangling.small_cells import suppressed
from mlops_assets.wrangling.voters import voters
from mlops_assets_tests.wrangling.kept_contract import kept_rows
from mlops_assets_tests.wrangling.voter_files import KEY, crowd, rows_of, voter_file

CELL = ("state", "month", "district", "attribute")


def _counts(*rows: dict[str, str]) -> dict[tuple[str, str, str], int | None]:
    persons = voters(ibis.memtable(voter_file(*rows)), pseudonym_key=KEY)
    return {
        (row["district"], row["attribute"], row["category"]): row["voters"]
        for row in kept_rows(district_demographics(persons), DISTRICT_DEMOGRAPHICS)
    }


def _suppressed(*sizes: int) -> list[int | None]:
    cells = pa.table(
        {
            "state": ["NC"] * len(sizes),
            "month": ["2022-10"] * len(sizes),
            "district": ["01"] * len(sizes),
            "attribute": ["race"] * len(sizes),
            "category": [f"class {number}" for number in range(len(sizes))],
            "voters": list(sizes),
        }
    )
    rows = sorted(
        rows_of(suppressed(ibis.memtable(cells), CELL, "category", "voters", SMALLEST_CELL)),
        key=lambda row: str(row["category"]),
    )
    assert [row["suppressed"] for row in rows] == [row["voters"] is None for row in rows]
    return [row["voters"] for row in rows]


def test_every_attribute_counts_the_districts_persons() -> None:
    counts = _counts(
        *crowd(6, first=1, cong_dist_abbrv="1"),
        *crowd(7, first=101, cong_dist_abbrv="1", gender_code="M", party_cd="REP"),
        *crowd(8, first=201, cong_dist_abbrv="2", status_cd="I"),
    )
    assert counts["01", "all", "all"] == 13
    assert (counts["01", "gender", "FEMALE"], counts["01", "gender", "MALE"]) == (6, 7)
    assert (counts["01", "party", "DEMOCRATIC"], counts["01", "party", "REPUBLICAN"]) == (6, 7)
    assert counts["02", "status", "INACTIVE"] == 8
    assert counts["02", "age_group", "35-44"] == 8
    for attribute in ("all", "race", "ethnicity", "gender", "party", "age_group", "status"):
        assert sum(n or 0 for (district, name, _), n in counts.items() if (district, name) == ("01", attribute)) == 13


@pytest.mark.parametrize(
    ("cohort", "group"),
    [
        (2005, "18-24"),  # 15 by the middle of the cohort: pre-registered
        (1995, "25-34"),
        (1990, "25-34"),
        (1985, "35-44"),
        (1975, "45-54"),
        (1965, "55-64"),
        (1955, "65-74"),
        (1945, "75+"),
        (None, "UNKNOWN"),
    ],
)
def test_age_group_follows_from_the_middle_of_the_cohort(cohort: int | None, group: str) -> None:
    rows = ibis.memtable(pa.table({"cohort": pa.array([cohort], pa.int64()), "month": ["2022-10"]}))
    assert rows_of(rows.select(group=age_group(rows.cohort, rows.month))) == [{"group": group}]


@pytest.mark.parametrize(
    ("sizes", "published"),
    [
        ((5, 6), [5, 6]),
        ((4, 9, 7), [None, 9, None]),  # alone it would follow from the total
        ((3, 4, 9), [None, None, 9]),
        ((1, 1, 9, 8), [None, None, 9, None]),  # together 2 persons in two cells: one each
        ((4,), [None]),
        ((4, 6, 6), [None, None, 6]),  # of equal cells the alphabetically first
    ],
)
def test_small_cells_and_what_would_reveal_them_are_suppressed(
    sizes: tuple[int, ...], published: list[int | None]
) -> None:
    assert _suppressed(*sizes) == published


@given(sizes=st.lists(st.integers(min_value=1, max_value=12), min_size=1, max_size=6))
@settings(max_examples=30)
def test_no_small_cell_follows_from_the_total(sizes: list[int]) -> None:
    published = _suppressed(*sizes)
    assert all(count is None or count >= SMALLEST_CELL for count in published)
    hidden = [size for size, count in zip(sizes, published, strict=True) if count is None]
    if hidden and sum(sizes) >= SMALLEST_CELL:
        assert len(hidden) > 1
        assert sum(hidden) >= SMALLEST_CELL


def test_a_doubled_file_changes_no_count() -> None:
    rows: list[dict[str, Any]] = crowd(9)
    assert _counts(*rows) == _counts(*rows, *rows)
