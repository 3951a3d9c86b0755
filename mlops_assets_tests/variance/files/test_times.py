"""Times: read in the one way that a column leaves, in order and with their distances, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.files.times import Spelling, Timeline, timeline

if TYPE_CHECKING:
    from mlops_assets.variance.files.opening import DayOrder


def _timeline(*labels: str, dates: DayOrder | None = None) -> Timeline:
    spellings = {label: Spelling(count=labels.count(label), row=row) for row, label in enumerate(labels, 1)}
    return timeline(spellings, column="t", source="a.csv", dates=dates)


@pytest.mark.parametrize(
    "labels",
    [
        ["2", "9", "10", "-5"],
        ["2018", "2020", "2019.5"],
        ["wave 2", "wave 10", "wave 1"],
        ["FY2020", "FY2019"],
        ["Q4 2019", "2020-Q1", "3Q2019", "2019q2"],
        ["H2 2019", "2020-H1"],
        ["2019-W52", "2020-W01", "2020W05"],
        ["Jan 2020", "Feb 2020", "Dec 2019", "Apr 2020"],
        ["September 2020", "Sept 2021", "Oct. 2020", "2020 November"],
        ["2020-09", "2020-10", "202011", "1/2021"],
        ["202009", "202101"],
        ["20200131", "20200201"],
        ["31 Jan 2020", "February 1, 2020", "2020-03-01", "2020/04/01", "05-May-2020"],
        ["31/01/2020", "01/02/2020"],
        ["1/31/2020", "2/1/2020"],
        ["05/13/17", "01/02/18"],
        ["31.01.2020", "01.02.2020"],
        ["05/05/2017", "06/06/2017"],
        ["2020-01-31 23:59", "2020-02-01T00:00:01"],
        ["2020-01-31 23:00+00", "2020-02-01 00:30:00+01:00"],
        ["1/31/2020 1:00 PM", "1/31/2020 11:00 AM"],
    ],
)
def test_times_are_in_their_order_whatever_the_letters(labels: list[str]) -> None:
    expected = {
        "2": ["-5", "2", "9", "10"],
        "2018": ["2018", "2019.5", "2020"],
        "wave 2": ["wave 1", "wave 2", "wave 10"],
        "FY2020": ["FY2019", "FY2020"],
        "Q4 2019": ["2019q2", "3Q2019", "Q4 2019", "2020-Q1"],
        "Jan 2020": ["Dec 2019", "Jan 2020", "Feb 2020", "Apr 2020"],
        "September 2020": ["September 2020", "Oct. 2020", "2020 November", "Sept 2021"],
        "2020-01-31 23:00+00": ["2020-01-31 23:00+00", "2020-02-01 00:30:00+01:00"],
        "1/31/2020 1:00 PM": ["1/31/2020 11:00 AM", "1/31/2020 1:00 PM"],
    }
    found = _timeline(*labels)
    assert found.labels == expected.get(labels[0], labels)
    assert (found.elapsed[1:] > found.elapsed[:-1]).all()


def test_distances_are_days_and_numbers_are_themselves() -> None:
    assert _timeline("Jan 2020", "Mar 2020").elapsed.tolist()[1] - _timeline("Jan 2020").elapsed[0] == 31 + 29
    assert _timeline("2020-Q1", "2020-Q2").elapsed.tolist()[1] - _timeline("2020-Q1").elapsed[0] == 91
    assert _timeline("2018", "2020").elapsed.tolist() == [2018, 2020]


def test_two_spellings_of_a_time_are_one_under_the_more_frequent_label() -> None:
    found = _timeline("Jan 2020", "2020-01", "2020-01", "2020-02")
    assert found.labels == ["2020-01", "2020-02"]
    assert found.place == {"Jan 2020": 0, "2020-01": 0, "2020-02": 1}
    assert _timeline("2018", "2018.0", "2018", "02018").labels == ["2018"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["01/02/2017", "02/03/2017"], "'01/02/2017' in row 1 can be read in two ways, day first or month first"),
        (["05/01/17", "06/02/17"], "day first or month first or year first, and no value"),
        (["13/05/17", "14/06/17"], "day first or year first"),
        (["13/05/2017", "05/13/2017"], r"'13/05/2017' in row 1 is a day \(day first\), '05/13/2017' in row 2 is a day"),
        (["2019", "2020-03"], "'2019' in row 1 is a number, '2020-03' in row 2 is a month. Write all times"),
        (["2020-01-01", "2020-01-02 10:00"], "is a day, .* is a moment"),
        (["2020-01-01 10:00", "2020-01-01 10:00Z"], "is a moment, .* is a moment with a zone"),
        (["2019", "Q1 2020"], "is a number, .* is a quarter"),
        (["before", "after"], "'before' in row 1 is no time that is known. Write times as"),
        (["Jan-20", "Feb-20"], "'Jan-20' in row 1 is no time"),
        (["2020-13"], "no time"),
        (["2020-02-30"], "no time"),
        (["2019-Q5"], "no time"),
        (["2020.1", "2020.10"], "'2020.10' in row 2 is no time"),
        (["2020-01-01 25:00"], "no time"),
        (["2020-01", "", "2020-02"], "no time"),
        (["2019", "unknown"], "'unknown' in row 2 is no time"),
    ],
)
def test_what_has_no_reading_or_several_is_refused_with_value_and_remedy(labels: list[str], words: str) -> None:
    with pytest.raises(ComparisonError, match=f"a.csv: column t: .*{words}"):
        _timeline(*labels)


def test_what_stands_first_in_dates_may_be_said() -> None:
    assert _timeline("01/02/2017", "02/01/2017", dates="day-first").labels == ["02/01/2017", "01/02/2017"]
    assert _timeline("01/02/2017", "02/01/2017", dates="month-first").labels == ["01/02/2017", "02/01/2017"]


def test_no_times_are_in_no_order() -> None:
    assert _timeline().labels == []


@given(st.lists(st.text(max_size=25) | st.from_regex(r"[0-9QHWTZa-j/. :+-]{1,20}", fullmatch=True), max_size=5))
def test_any_labels_are_put_in_order_or_refused(labels: list[str]) -> None:
    try:
        found = _timeline(*labels)
    except ComparisonError:
        return
    assert set(found.place) == set(labels)
    assert (found.elapsed[1:] > found.elapsed[:-1]).all()
