"""What is given to a declaration and is of another kind than it asks for is refused in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pandera.ibis as pandera
import pytest

import mlops_assets as ma

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = pandera.DataFrameSchema({"shop": pandera.Column(str), "price": pandera.Column(float)})


def table(**given: Any) -> dg.AssetsDefinition:  # noqa: ANN401  right and wrong ones
    """An asset that is declared with these arguments beside the needed ones."""

    def orders() -> None:
        """Never called."""

    return ma.asset(**{"schema": SCHEMA, "lake": ma.Lake("curated"), "key": "raw/orders", **given})(orders)


def priced(decimals: object) -> pandera.DataFrameSchema:
    return pandera.DataFrameSchema({"price": pandera.Column(float, metadata={"decimals": decimals})})


WRONG: dict[str, tuple[Callable[..., object], str]] = {
    "a lake's name": (lambda: ma.Lake(None), "name is None"),  # type: ignore[arg-type]
    "a lake's flag": (
        lambda: ma.Lake("curated", personal="perhaps"),
        "Lake curated, personal=: it is of type str. Input should be",
    ),
    "a lake's folder": (lambda: ma.Lake("curated", data_path=5), "Lake curated, data_path=: it is of type int"),
    "one bound": (lambda: ma.Volume(expect_rows=5), "expect_rows is 5. Give the least"),  # type: ignore[arg-type]
    "a bound of text": (lambda: ma.Volume(expect_rows=("1", "2")), r"expect_rows is \('1'"),  # type: ignore[arg-type]
    "a loss of text": (lambda: ma.Volume(max_loss="half"), "max_loss is 'half'"),  # type: ignore[arg-type]
    "a floor of text": (lambda: ma.Quarantine(floor="half"), "floor is 'half'"),  # type: ignore[arg-type]
    "an input of nothing": (lambda: ma.In(None), "key is None"),  # type: ignore[arg-type]
    "text to count": (lambda: ma.In("raw/orders", back="3"), "back is '3'"),  # type: ignore[arg-type]
    "truth to count": (lambda: ma.In("raw/orders", back=True), "back is True"),
    "a mapping": (lambda: ma.In("raw/orders", also=3), "also is 3. Give one of Dagster's"),  # type: ignore[arg-type]
    "a list of inputs": (lambda: table(ins=["raw/orders"]), "ins is .* Give a mapping"),
    "owners in a text": (lambda: table(owners="team:sales"), "owners is 'team:sales'. Give a list"),
    "owners of numbers": (lambda: table(owners=[5]), r"owners is \[5\]"),
    "a subject's column": (lambda: table(subject={"customer": 3}), "subject is {'customer': 3}. Give the column"),
    "a key": (lambda: table(key=5), "key is 5"),
    "a volume": (lambda: table(volume=5), r"volume is 5. Give volume=ma.Volume\(...\)"),
    "a quarantine": (lambda: table(quarantine=True), "quarantine is True"),
    "a column of no partitions": (
        lambda: table(metadata={"partition_expr": "shop"}),
        "partition_expr is 'shop', and it has no partitions",
    ),
    "no cron expression": (lambda: ma.on_new_data(at_most="every day"), "at_most is 'every day'. Give a cron"),
    "a number for cron": (lambda: ma.on_new_data(at_most=5), "at_most is 5"),  # type: ignore[arg-type]
    "no asset keys": (lambda: ma.on_new_data(last_good="raw/orders"), "last_good is"),  # type: ignore[arg-type]
    "decimals of text": (lambda: table(schema=priced("2")), "'decimals', which is '2'. Give it int from 0 to 15"),
    "decimals below none": (lambda: table(schema=priced(-400)), "'decimals', which is -400"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_argument_of_another_kind_is_refused_by_its_name_and_told_what_to_give(case: str) -> None:
    declare, said = WRONG[case]
    with pytest.raises(ma.PlatformError, match=said):
        declare()


def test_arguments_of_the_right_kinds_are_taken() -> None:
    assert table(owners=("team:sales",), volume=ma.Volume(expect_rows=(1, 9), max_loss=1), metadata={}).key.path == [
        "raw",
        "orders",
    ]
    assert ma.In(["raw", "orders"]).key == ma.In(dg.AssetKey(["raw", "orders"])).key == ma.In("raw/orders").key
