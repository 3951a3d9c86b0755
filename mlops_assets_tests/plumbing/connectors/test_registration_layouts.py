"""What the names of registration files say."""

from __future__ import annotations

import pytest

from mlops_assets.plumbing.connectors.registration_layouts import (
    SeriesFile,
    compiled_file,
    maryland_file,
    south_dakota_file,
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("1996-02-12.csv", SeriesFile("SD", ("1996-02",))),
        ("1996-13-12.csv", None),
        ("1996-02-12.csv.bak", None),
        ("SOURCE.md", None),
    ],
)
def test_a_snapshot_is_named_by_its_day(name: str, found: SeriesFile | None) -> None:
    assert south_dakota_file(name) == found


@pytest.mark.parametrize(
    ("name", "found"),
    [("09_2014_totals.csv", SeriesFile("MD", ("2014-09",))), ("09_2014_new.csv", None), ("13_2014_totals.csv", None)],
)
def test_totals_are_named_by_month_and_year(name: str, found: SeriesFile | None) -> None:
    assert maryland_file(name) == found


def test_a_file_of_the_compilation_holds_the_november_of_each_presidential_year() -> None:
    assert compiled_file("pennslyvaniacounty.csv") == SeriesFile(
        "PA", ("2004-11", "2008-11", "2012-11", "2016-11", "2020-11")
    )
    assert compiled_file("texascounty.csv") is None
