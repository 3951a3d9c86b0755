"""County registrations: the asset that publishes one month of registration statistics.

Put here the wiring of that asset. Keep out how the publications are read (that is their connector).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.contracts.raw import COUNTY_REGISTRATIONS
from mlops_assets.platform.assets.asset import asset
from mlops_assets.plumbing.connectors.extract import address
from mlops_assets.plumbing.connectors.registrations import fetch_registrations
from mlops_assets.plumbing.sources.http import Fetcher

if TYPE_CHECKING:
    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.settings import Settings


@asset(contract=COUNTY_REGISTRATIONS, code_version="1")
def county_registrations(partition: Partition, settings: Settings) -> dg.MaterializeResult[Any]:
    """Registered voters by county and party, of every state that published a statistic in that month."""
    base = address(settings.sources.registrations_url, "SOURCES__REGISTRATIONS_URL")
    with Fetcher.from_settings(settings) as fetcher:
        extract = fetch_registrations(fetcher, base, partition.values["month"])
    return dg.MaterializeResult(value=extract.rows, metadata=extract.facts)
