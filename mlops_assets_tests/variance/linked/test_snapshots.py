"""How two snapshots are described and laid side by side."""

from __future__ import annotations

import ibis
import pytest

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.linked.snapshots import Layout, link

COLUMNS = {"id": "int64", "unit": "int64", "street": "string", "town": "string", "kind": "string"}
LAYOUT = Layout(entity="id", unit="unit", address=("street", "town"), attributes={"kind": None})


def _linked(before: list[tuple[object, ...]], after: list[tuple[object, ...]]) -> list[dict[str, object]]:
    pairs = link(ibis.memtable(before, schema=COLUMNS), ibis.memtable(after, schema=COLUMNS), LAYOUT)
    rows: list[dict[str, object]] = ibis.duckdb.connect().to_pyarrow(pairs.order_by("address_before")).to_pylist()
    return rows


def test_every_entity_of_either_snapshot_has_one_row() -> None:
    rows = _linked([(1, 5, "a", "x", "K"), (2, 5, "b", "x", "K")], [(2, 6, "b", "x", None), (3, 6, "c", "x", "K")])
    assert [(row["was"], row["now"], row["unit_before"], row["unit_after"]) for row in rows] == [
        (True, False, "5", None),
        (True, True, "5", "6"),
        (False, True, None, "6"),
    ]
    assert rows[1]["class_after_kind"] == "(blank)"
    assert rows[1]["copies_after"] == 1


def test_an_address_of_several_columns_changed_when_one_of_them_did() -> None:
    (row,) = _linked([(1, 5, "a", "x", "K")], [(1, 5, "a", "y", "K")])
    assert (row["moved"], row["unmoved"]) == (True, False)


def test_an_address_of_several_columns_is_unknown_only_when_all_are() -> None:
    (row,) = _linked([(1, 5, None, None, "K")], [(1, 5, None, "y", "K")])
    assert (row["address_before"], row["moved"]) == (None, True)


def test_entities_without_identifier_are_linked_to_none() -> None:
    rows = _linked([(None, 5, "a", "x", "K")], [(None, 5, "a", "x", "K")])
    assert sorted((row["was"], row["now"]) for row in rows) == [(False, True), (True, False)]


def test_a_missing_column_is_named() -> None:
    table = ibis.memtable([(1, 5, "a", "x", "K")], schema=COLUMNS)
    with pytest.raises(ComparisonError, match="'after' has no column kind, unit; it has id, street, town"):
        link(table, table.drop("kind", "unit"), LAYOUT)


def test_a_layout_needs_an_address_and_no_attribute_called_all() -> None:
    with pytest.raises(ComparisonError, match="no address column"):
        Layout(entity="id", unit="unit", address=(), attributes={})
    with pytest.raises(ComparisonError, match="stands for all entities"):
        Layout(entity="id", unit="unit", address=("street",), attributes={"all": None})
