"""Extracts: what a connector hands to an asset, in the Arrow columns that the asset's contract asks for.

Put here what all connectors return. Keep out how any source is asked or read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.platform.contracts.contract import Contract

Fact = str | int | list[str]


@dataclass(frozen=True, kw_only=True)
class Extract:
    """Rows of one partition and the facts about where they came from.

    Attributes:
        rows: the contract's columns; a reader streams its rows and can be read once.
        facts: addresses, editions, encodings and counts by name; never a value of a row, never a key.
    """

    rows: pa.Table | pa.RecordBatchReader
    facts: Mapping[str, Fact]


def arrow_schema(contract: Contract) -> pa.Schema:
    """The contract's columns with their Arrow types, in contract order."""
    return pa.schema([(name, kind.to_pyarrow()) for name, kind in columns_of(contract).items()])


def address(value: str | None, variable: str) -> str:
    """The address of a source, without a trailing slash.

    Raises:
        SettingsError: the operator has not set it.
    """
    if not value:
        raise SettingsError(
            source=f"{PREFIX}{variable}",
            culprit="the address of this source is not set.",
            remedy="Set it in the environment or in .env.",
        )
    return value.rstrip("/")
