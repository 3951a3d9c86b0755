"""District profiles: the declaration of the Census Bureau's profiles, by the transport that the operator chooses.

Put here when they are asked for and by which transport. Keep out what either answers (those are the connectors).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from mlops_assets.contracts.partitions import PROFILE_YEARS, TIME_ZONE
from mlops_assets.contracts.raw import DISTRICT_PROFILES
from mlops_assets.platform.settings import ProfileTransport
from mlops_assets.plumbing.assets.addresses import address_of
from mlops_assets.plumbing.connectors.aff_profiles import downloaded_profiles
from mlops_assets.plumbing.connectors.census import asked_profiles
from mlops_assets.plumbing.sources.delivered import Delivered
from mlops_assets.plumbing.sources.formats.text_files import TextFiles
from mlops_assets.plumbing.sources.http.fetched import FetchedSource

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from mlops_assets.platform.settings import Settings
    from mlops_assets.plumbing.connectors.profile_tables import ProfileTable
    from mlops_assets.plumbing.sources.delivered import Request
    from mlops_assets.plumbing.sources.hidden import Hidden
    from mlops_assets.plumbing.sources.http.recording import Pages


class DistrictProfiles(FetchedSource):
    """The census API or its table downloads, as the operator chooses."""

    KIND: ClassVar[str] = "http"
    VERSION: ClassVar[str] = "1"

    def collected(self, request: Request, pages: Pages, hidden: Hidden) -> Delivered:
        """The profiles of one year: one row per district and column of a table, values as delivered."""
        settings, year = request.settings, request.partition.values["year"]
        base = address_of(settings, "profiles_url")
        source = hidden.said(base)
        found: list[str] = []
        with TextFiles(request.scratch, source) as taken:
            for table in _tables(pages, settings, base, year, hidden):
                taken.add(table.columns())
                found.append(f"{table.name}: {len({cell.geo_id for cell in table.cells})}")
            return Delivered(
                source=source,
                rows=taken.relation(request.connection, ()),
                facts={
                    "transport": str(settings.sources.profiles_transport),
                    "address": source,
                    "districts": ", ".join(found),
                },
            )


def _tables(pages: Pages, settings: Settings, base: str, year: str, hidden: Hidden) -> Iterator[ProfileTable]:
    if settings.sources.profiles_transport is ProfileTransport.DOWNLOADS:
        return downloaded_profiles(pages, base, year)
    key = settings.secret(settings.sources.profiles_key, "SOURCES__PROFILES_KEY")
    hidden.add(key, "key")
    return asked_profiles(pages, base, year, key)


def district_profiles_due(moment: dt.datetime) -> list[str]:
    """The census profiles to refresh by then: those of the year before, which appear in September."""
    year = str(moment.year - 1)
    return [year] if year in PROFILE_YEARS else []


district_profiles: Final = DistrictProfiles(
    contract=DISTRICT_PROFILES,
    # Every October.
    cron="0 7 1 10 *",
    timezone=TIME_ZONE,
    due=district_profiles_due,
)
