"""The demonstration on real files: House returns, census profiles and registrations, served over loopback HTTP.

Put here its course. Keep out how history is loaded, processes are run and results are shown.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from mlops_assets.contracts import events
from mlops_assets.contracts.partitions import ELECTION_YEARS
from mlops_assets.demo import live, report
from mlops_assets.demo.console import Bars, progress_bars
from mlops_assets.demo.history import Batch, load, loading_instance
from mlops_assets.demo.surroundings import Surroundings, applied
from mlops_assets.platform.errors import SourceError
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.assets.county_registrations import available_months
from mlops_assets.plumbing.sources.http.fetcher import Fetcher
from mlops_assets.simulation.servers import FolderServer

if TYPE_CHECKING:
    from pathlib import Path

COMING: Final = "2022"
"""The first election after those in the files."""

RETURNS: Final = "medsl-house/1976-2020-house.csv.gz"
PROFILES: Final = "acs-cd-profiles"
_PROFILE_YEARS: Final = ("2000", "2006", "2008", "2010", "2011", "2012")
_HELD: Final = tuple(year for year in ELECTION_YEARS if year <= "2020")
_FORECASTS: Final = ("2020", COMING)


def run(*, data: Path, home: Path, port: int) -> None:
    """Run the demonstration and print its report.

    Args:
        data: folder with the public files.
        home: folder for everything that is written; emptied first.
        port: port of the service; 0 for a free one.

    Raises:
        PlatformError: a file is not there, or a step failed.
    """
    console = Console()
    started = time.monotonic()
    for needed in (RETURNS, PROFILES):
        if not (data / needed).exists():
            raise SourceError(
                source=str(data),
                culprit=f"{needed} is not there.",
                remedy="Name the folder with the public files (DATA=...); docs/sources tells their origin.",
            )
    surroundings = Surroundings(home)
    surroundings.clear()
    surroundings.prepare(["PSEUDONYM_KEY"])
    with FolderServer(data) as server:
        environment = surroundings.environment(
            {
                "SOURCES__HOUSE_RETURNS_URL": f"{server.url}/{RETURNS}",
                "SOURCES__PROFILES_URL": f"{server.url}/{PROFILES}",
                "SOURCES__PROFILES_TRANSPORT": "downloads",
                "SOURCES__REGISTRATIONS_URL": server.url,
            }
        )
        with applied(environment):
            settings = Settings.load()
            with loading_instance(surroundings.dagster_home) as instance, progress_bars(console) as progress:
                runs = load(_history(settings), instance, Bars(progress))
            total = report.show_tables(settings, console)
            _show_changes(settings, console)
            report.show_models(settings, console)
            with live.service(surroundings, settings, environment, port) as client:
                page = client.ask(
                    "/v1/tables/predictions", state="NC", election=COMING, measure="total_votes", limit="1"
                )
    found = page["items"][0]
    console.print(
        f"GET /v1/tables/predictions/{found['state']}/{found['district']}/{found['measure']}: {found['election']} = "
        f"[bold]{found['value']:,.0f}[/bold] ({found['lower']:,.0f} to {found['upper']:,.0f}, "
        f"{found['coverage']:.0%} interval)"
    )
    console.print(f"{runs} runs, {total:,} rows, {time.monotonic() - started:.0f} s.")
    console.print("Next: docs/sources tells what these files taught; [bold]make dev[/bold] shows the simulated demo.")


def _history(settings: Settings) -> list[Batch]:
    base = settings.sources.registrations_url or ""
    with Fetcher.from_settings(settings) as fetcher:
        months = available_months(fetcher, base)
    return [
        Batch("House returns", ["raw/house_returns", "wrangled/house_results"], _HELD),
        Batch("census profiles", ["raw/district_profiles", "wrangled/district_profiles"], _PROFILE_YEARS),
        Batch("county registrations", ["raw/county_registrations", "wrangled/county_registrations"], list(months)),
        Batch("changes of results", ["variance/result_changes", "variance/result_events"], _HELD),
        Batch("features of districts", ["features/district_election"], (*_HELD[3:], COMING)),
        Batch("changes of profiles", ["variance/profile_changes", "variance/profile_events"], _PROFILE_YEARS),
        Batch(
            "changes of registrations", ["variance/registration_changes", "variance/registration_events"], list(months)
        ),
        Batch("named events", ["variance/events"], [None]),
        Batch("training sets", ["training/district_elections"], _FORECASTS),
        Batch(
            "models",
            [
                "models/district_votes_evaluation",
                "models/district_votes",
                "models/district_share_evaluation",
                "models/district_share",
            ],
            _FORECASTS,
        ),
        Batch("predicted votes and shares", ["predictions/district_votes", "predictions/district_share"], _FORECASTS),
        Batch("how good the predictions are", ["predictions/monitoring"], _FORECASTS),
        Batch(
            "exports for the service",
            ["served/predictions", "served/district_votes_model", "served/district_share_model"],
            [None],
        ),
    ]


def _show_changes(settings: Settings, console: Console) -> None:
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for row in report.rows_of(settings, events.EVENTS):
        if not row["same_as"]:
            by_cause = counts.setdefault((str(row["time"]), str(row["source"])), {})
            by_cause[str(row["cause"])] = by_cause.get(str(row["cause"]), 0) + 1
    causes = sorted({cause for by_cause in counts.values() for cause in by_cause})
    table = Table("time", "found in", *causes, title="Named events by cause, in states")
    for (time_, source), by_cause in sorted(counts.items()):
        table.add_row(time_, source, *(str(by_cause.get(cause, 0)) for cause in causes))
    console.print(table)
