"""A name that means nothing is refused when the contract is made, with the word, its place and the nearest one."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

import dagster as dg
import ibis.expr.datatypes as dt
import pandera.ibis as pandera
import pytest

from mlops_assets.platform.errors import ContractError
from mlops_assets_tests.platform import orchard

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.platform.contracts.contract import Contract


def with_rule(function: Callable[[pandera.IbisData], object]) -> Contract:
    """The harvest, with one more rule over its rows."""
    schema = copy.deepcopy(orchard.HARVEST.schema)
    schema.checks = [pandera.Check(function, name="ripe")]
    return dataclasses.replace(orchard.HARVEST, model=schema)


def with_key(*columns: str) -> Contract:
    schema = copy.deepcopy(orchard.HARVEST.schema)
    schema.unique = list(columns)
    return dataclasses.replace(orchard.HARVEST, model=schema)


MISSPELT: dict[str, Callable[[], Contract]] = {
    "subject": lambda: dataclasses.replace(orchard.HARVEST, subject={"picker": ("week", "pikcer")}),
    "partition_columns": lambda: dataclasses.replace(orchard.HARVEST, partition_columns={"week": "pikcer"}),
    "unique": lambda: with_key("week", "pikcer"),
    "the rule ripe": lambda: with_rule(lambda data: data.table.pikcer.notnull()),
}


@pytest.mark.parametrize("place", MISSPELT)
def test_a_misspelt_column_is_refused_with_contract_word_place_and_the_nearest_column(place: str) -> None:
    with pytest.raises(ContractError) as caught:
        MISSPELT[place]()
    assert str(caught.value) == (
        f"Contract raw/harvest: {place} names the column 'pikcer', which does not exist. Did you mean 'picker'?"
    )


def test_a_rule_that_looks_its_column_up_by_name_is_refused_likewise() -> None:
    with pytest.raises(ContractError, match=r"the rule ripe names the column 'pikcer'.*'picker'"):
        with_rule(lambda data: data.table["pikcer"].notnull())


def test_a_rule_that_is_no_expression_is_refused_with_its_name() -> None:
    with pytest.raises(ContractError, match="the rule ripe is no expression"):
        with_rule(lambda data: data.table.picker.sum())


def test_a_misspelt_judged_check_is_refused() -> None:
    with pytest.raises(ContractError, match=r"judged_warnings names the judged check 'sweat'.*'sweet'"):
        dataclasses.replace(orchard.HARVEST, judged={"sweet": "Is it?"}, judged_warnings=frozenset({"sweat"}))


def test_rounding_a_column_that_is_no_float_is_refused() -> None:
    column = pandera.Column(dt.Int64, metadata={"decimals": 1})
    schema = orchard.HARVEST.schema.add_columns({"stem": column})
    with pytest.raises(ContractError, match=r"the column 'stem' has the metadata 'decimals' and is int64"):
        dataclasses.replace(orchard.HARVEST, model=schema)


@pytest.mark.parametrize("columns", [{"week": "week", "tree": "tree"}, {}])
def test_one_dimension_of_partitions_has_one_column(columns: dict[str, str]) -> None:
    with pytest.raises(ContractError, match="one column for each dimension"):
        dataclasses.replace(orchard.HARVEST, partition_columns=columns)


def test_two_dimensions_of_partitions_have_two_columns() -> None:
    both = dg.MultiPartitionsDefinition({"week": orchard.PARTITIONS, "picker": dg.StaticPartitionsDefinition(["p"])})
    with pytest.raises(ContractError, match="one column for each dimension"):
        dataclasses.replace(orchard.HARVEST, partitions_def=both, partition_columns={"week": "week", "picker": "week"})


def test_personal_columns_are_refused_in_a_lake_that_is_not_for_personal_data() -> None:
    with pytest.raises(ContractError, match="columns picker are personal, the lake curated is not for personal data"):
        dataclasses.replace(orchard.HARVEST, lake=orchard.CURATED)


def test_a_contract_in_a_lake_that_is_not_declared_is_refused() -> None:
    lake: Any = "bronze"
    with pytest.raises(ContractError, match="its lake is 'bronze', which is no declared lake"):
        dataclasses.replace(orchard.HARVEST, lake=lake)


@pytest.mark.parametrize(
    ("column", "like"),
    [("Picker", "'picker'"), ("quarantined_from", "a quarantine"), ("Quarantined_Because", "a quarantine")],
)
def test_a_column_that_the_engine_takes_for_another_one_is_refused(column: str, like: str) -> None:
    schema = orchard.HARVEST.schema.add_columns({column: pandera.Column(dt.String)})
    with pytest.raises(ContractError, match=f"its column '{column}' is called like (one of )?{like}"):
        dataclasses.replace(orchard.HARVEST, model=schema)


def test_a_personal_column_that_would_be_in_every_partition_key_is_refused() -> None:
    with pytest.raises(ContractError, match="its partition columns picker are personal"):
        dataclasses.replace(orchard.HARVEST, partition_columns={"week": "picker"})


@pytest.mark.parametrize(("option", "given"), [("volume", {"max_loss": 0.1}), ("quarantine", 0.9)])
def test_what_is_no_volume_or_quarantine_is_refused_with_how_to_give_it(
    option: str,
    given: Any,  # noqa: ANN401  what people try
) -> None:
    options: dict[str, Any] = {option: given}
    with pytest.raises(ContractError, match=rf"its {option} is .*Give {option}=ma\.{option.capitalize()}"):
        dataclasses.replace(orchard.HARVEST, **options)
