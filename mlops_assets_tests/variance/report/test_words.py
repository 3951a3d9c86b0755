"""Figures, labels and names of things as people write them."""

from __future__ import annotations

import math

import pytest

from mlops_assets.variance.report.words import Words, counted, fitted, natural, number, percent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (7, "7"),
        (1234567, "1,234,567"),
        (1234.56, "1,235"),
        (999.7, "1,000"),
        (0.1 + 0.2, "0.3"),
        (2 / 3, "0.667"),
        (0.00001234, "0.0000123"),
        (-42, "−42"),  # noqa: RUF001  the minus sign
        (math.nan, "–"),  # noqa: RUF001  no figure
    ],
)
def test_a_figure_has_separators_of_thousands_and_no_digits_that_say_nothing(value: float, text: str) -> None:
    assert number(value) == text


def test_a_change_has_its_sign() -> None:
    assert [number(value, signed=True) for value in (1200, 0, -3)] == ["+1,200", "0", "−3"]  # noqa: RUF001


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.5549, "55 %"), (0.002, "0.2 %"), (0.00001, "under 0.1 %"), (0.99999, "over 99.9 %")],
)
def test_a_share_is_percent_and_neither_nothing_nor_all_unless_it_is(share: float, text: str) -> None:
    assert percent(share) == text


def test_one_is_not_several() -> None:
    assert [counted(n, "event", "events") for n in (0, 1, 1200)] == ["0 events", "1 event", "1,200 events"]


def test_labels_are_in_the_order_in_which_people_count() -> None:
    assert sorted(["10", "9", "1", "North 10", "North 2", ""], key=natural) == [
        "",
        "1",
        "9",
        "10",
        "North 2",
        "North 10",
    ]


def test_a_label_too_long_for_its_place_ends_with_an_ellipsis() -> None:
    assert (fitted("short", 10), fitted("Friuli Venezia Giulia", 10)) == ("short", "Friuli Ve…")


@pytest.mark.parametrize(
    ("column", "called"),
    [
        ("territory", ("territory", "territories")),
        ("branch", ("branch", "branches")),
        ("shop", ("shop", "shops")),
        ("sales person,sales people", ("sales person", "sales people")),
        ("customer_id", ("unit", "units")),
        ("nr", ("unit", "units")),
        ("", ("unit", "units")),
    ],
)
def test_things_are_called_as_their_columns_where_these_are_words(column: str, called: tuple[str, str]) -> None:
    words = Words.called(unit=column)
    assert (words.unit, words.units) == called


def test_causes_are_told_in_the_words_of_the_team() -> None:
    words = Words.called(entity="customer", unit="territory")
    assert words.cause("boundary") == "territories redrawn"
    assert words.meaning("movers") == "customers with another address than before"
    assert words.cause("a cause of tomorrow") == "a cause of tomorrow"
