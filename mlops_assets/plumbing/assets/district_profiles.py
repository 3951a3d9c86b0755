"""District profiles: the asset that publishes one year of census profiles, by the transport that the settings choose.

Put here the wiring of that asset. Keep out how either transport is read (those are the connectors).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.contracts.raw import DISTRICT_PROFILES
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.settings import ProfileTransport
from mlops_assets.plumbing.connectors.aff_profiles import fetch_downloads
from mlops_assets.plumbing.connectors.census import fetch_profiles
from mlops_assets.plumbing.connectors.extract import address
from mlops_assets.plumbing.sources.http import Fetcher

if TYPE_CHECKING:
    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.settings import Settings


@asset(contract=DISTRICT_PROFILES, code_version="1")
def district_profiles(partition: Partition, settings: Settings) -> dg.MaterializeResult[Any]:
    """The profiles of congressional districts that the Census Bureau released for one year."""
    sources, year = settings.sources, partition.values["year"]
    base = address(sources.profiles_url, "SOURCES__PROFILES_URL")
    with Fetcher.from_settings(settings) as fetcher:
        if sources.profiles_transport is ProfileTransport.DOWNLOADS:
            extract = fetch_downloads(fetcher, base, year)
        else:
            key = settings.secret(sources.profiles_key, "SOURCES__PROFILES_KEY")
            extract = fetch_profiles(fetcher, base, year, key)
    return dg.MaterializeResult(value=extract.rows, metadata=extract.facts)
