"""Exact splits of files: samples and their weights, shares, orders, and what is refused."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.linked.explanation import ORDERS, explain
from mlops_assets.variance.linked.ways import PARTS
from mlops_assets_tests.variance.linked.crowd import Row, changes_between, crowd, moved, ordinary_month, town

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_COLUMNS = ("person", "district", "party", "address")


def _file(path: Path, rows: Iterable[Row], columns: Iterable[str] = _COLUMNS) -> Path:
    names = list(columns)
    lines = [",".join("" if row[name] is None else str(row[name]) for name in names) for row in rows]
    path.write_text("\n".join([",".join(names), *lines]) + "\n", encoding="utf-8")
    return path


def _explained(folder: Path, before: list[Row], after: list[Row], **options: Any) -> list[Row]:  # noqa: ANN401  of explain
    columns = (*_COLUMNS, "weight") if "weight" in options else _COLUMNS
    rows: list[Row] = explain(
        _file(folder / "before.csv", before, columns),
        _file(folder / "after.csv", after, columns),
        entity="person",
        unit="district",
        attributes=["party"],
        address=["address"],
        **options,
    ).split.to_pylist()
    return rows


def _town(*, weights: bool) -> tuple[list[Row], list[Row]]:
    """A town, and a month later with a quarter of its first district redrawn; weights change for some."""
    chance, before = random.Random(3), town(1, districts=3, households=60)  # noqa: S311  a population, not a secret
    before = [{**row, "weight": chance.choice((12.5, 80.0, 333.25))} for row in before]
    after = [{"weight": 40.0, **row} for row in ordinary_month(2, before)]
    for row in after:
        if row["district"] == "01" and row["address"].startswith("1"):
            row["district"] = "02"
        if weights and chance.random() < 0.2:
            row["weight"] *= 1.5
    return before, after


def test_without_weight_counts_are_those_of_the_lake(tmp_path: Path) -> None:
    before, after = _town(weights=False)
    rows = _explained(tmp_path, before, after)
    assert list(rows[0]) == ["unit", "attribute", "category", "before", *PARTS, "after"]
    cells = {
        (row["unit"], row["category"]): {
            name: row[name] for name in ("before", *PARTS, "after") if row[name] or name not in PARTS
        }
        for row in rows
    }
    # A file of persons has no codes beside its classes; here no code was changed without its class.
    assert cells == changes_between(before, after)


@pytest.mark.parametrize(("measure", "order"), [("count", "sequence"), ("share", "shapley")])
def test_parts_add_up_to_1e_9_for_samples_of_a_town(tmp_path: Path, measure: str, order: str) -> None:
    before, after = _town(weights=True)
    rows = _explained(tmp_path, before, after, weight="weight", measure=measure, order=order)
    assert {row["attribute"] for row in rows} == ({"party"} if measure == "share" else {"all", "party"})
    for row in rows:
        whole = row["before"] + sum(row[part] for part in (*PARTS, "weighting"))
        assert whole == pytest.approx(row["after"], abs=1e-9)
    assert any(row["boundary"] and row["movers"] and row["leavers"] and row["weighting"] for row in rows)


def test_errors_of_counts_are_those_of_the_people_in_the_file(tmp_path: Path) -> None:
    before, after = _town(weights=True)
    rows = _explained(tmp_path, before, after, weight="weight")
    row = next(row for row in rows if (row["unit"], row["category"]) == ("02", "RED"))
    people: dict[str, list[float]] = {row["person"]: [0.0, 0.0] for row in before + after}
    for side, snapshot in enumerate((before, after)):
        for person in snapshot:
            if (person["district"], person["party"]) == ("02", "RED"):
                people[person["person"]][side] = person["weight"]
    own = np.array(list(people.values()))
    errors = [float(np.sqrt(len(own) * np.var(column, ddof=1))) for column in (*own.T, own[:, 1] - own[:, 0])]
    assert [row["before_error"], row["after_error"], row["change_error"]] == pytest.approx(errors)


def test_equal_weights_are_the_counts_times_the_weight(tmp_path: Path) -> None:
    stay, go = crowd("a", 30, district="01"), crowd("b", 3, district="01", party="RED")
    before, after = stay + go, stay + moved(go, district="02")
    weighted = _explained(
        tmp_path,
        [{**row, "weight": 20} for row in before],
        [{**row, "weight": 20} for row in after],
        weight="weight",
    )
    plain = _explained(tmp_path, before, after)
    for row, own in zip(weighted, plain, strict=True):
        assert {name: row[name] for name in own} == {
            name: value * 20 if isinstance(value, int) else value for name, value in own.items()
        }


def test_whom_two_things_befell_counts_in_both_in_every_order_and_whom_one_in_that(tmp_path: Path) -> None:
    stay, both = crowd("a", 40, district="01"), crowd("b", 2, district="01")
    switched = [{**row, "party": "RED"} for row in moved(both, district="02")]
    found = {
        order: {
            (row["unit"], row["category"]): {part: row[part] for part in PARTS if row[part]}
            for row in _explained(tmp_path, stay + both, stay + switched, order=order)
        }
        for order in ORDERS
    }
    assert found["sequence"]["02", "BLUE"] == {"movers": 2, "attributes": -2}
    assert found["shapley"] == {
        ("01", "all"): {"movers": -2.0},
        ("02", "all"): {"movers": 2.0},
        ("01", "BLUE"): {"movers": -1.0, "attributes": -1.0},
        ("01", "RED"): {"movers": -1.0, "attributes": 1.0},
        ("02", "BLUE"): {"movers": 1.0, "attributes": -1.0},
        ("02", "RED"): {"movers": 1.0, "attributes": 1.0},
    }


def test_an_empty_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ComparisonError, match=r"after.csv: it has columns and no rows"):
        _explained(tmp_path, crowd("a", 5, district="01"), [])


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (None, "column weight is empty in 2 rows; it must say how many people"),
        ("many", "column weight: 'many' in row 6 is no number .2 such values"),
        ("nan", "column weight is empty in 2 rows; it must"),
        ("inf", "column weight: 'inf' in row 6 is no number"),
        (-1.5, "column weight is negative in 2 rows, such as -1.5; it must"),
    ],
)
def test_a_weight_that_is_no_number_of_people_is_refused(tmp_path: Path, weight: object, words: str) -> None:
    good = [{**row, "weight": 2.5} for row in crowd("a", 5, district="01")]
    bad = [{**row, "weight": weight} for row in crowd("b", 2, district="01")]
    with pytest.raises(ComparisonError, match=f"after.csv: {words}"):
        _explained(tmp_path, good, good + bad, weight="weight")
