"""US House returns: the asset that publishes one election year of MEDSL's file.

Put here the wiring of that asset. Keep out how the file is read (that is its connector).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.contracts.raw import HOUSE_RETURNS
from mlops_assets.platform.assets.asset import asset
from mlops_assets.plumbing.connectors.extract import address
from mlops_assets.plumbing.connectors.house_returns import fetch_house_returns
from mlops_assets.plumbing.sources.http import Fetcher

if TYPE_CHECKING:
    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.settings import Settings


@asset(contract=HOUSE_RETURNS, code_version="1")
def house_returns(partition: Partition, settings: Settings) -> dg.MaterializeResult[Any]:
    """The returns of one election year as MEDSL's current edition has them."""
    source = address(settings.sources.house_returns_url, "SOURCES__HOUSE_RETURNS_URL")
    with Fetcher.from_settings(settings) as fetcher:
        extract = fetch_house_returns(fetcher, source, partition.values["election"])
    return dg.MaterializeResult(value=extract.rows, metadata=extract.facts)
