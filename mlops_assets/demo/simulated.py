"""The demonstration on simulated sources, from an empty folder to a prediction that renewed itself.

Put here its course. Keep out how history is loaded, processes are run and results are shown.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from mlops_assets.contracts import events
from mlops_assets.contracts.partitions import ELECTION_YEARS, FIRST_HISTORY, FORECAST_YEARS, STATES
from mlops_assets.demo import live, report
from mlops_assets.demo.console import Bars, progress_bars, under_way
from mlops_assets.demo.history import Batch, load, loading_instance
from mlops_assets.demo.snapshots import loaded_beside, snapshots
from mlops_assets.demo.surroundings import Surroundings, applied
from mlops_assets.demo.waiting import WorkWatch
from mlops_assets.platform.settings import Settings
from mlops_assets.simulation.configuration import SimulationConfig
from mlops_assets.simulation.geography import REDISTRICTING, RENUMBERING
from mlops_assets.simulation.sources import SourceSystems, generate, reopen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mlops_assets.simulation.truth import Truth

COMING: Final = "2024"
"""The election that the demonstration forecasts."""

_SERVED: Final = (
    "served/predictions",
    "served/person_turnout_model",
    "served/district_votes_model",
    "served/district_share_model",
)
_HELD: Final = tuple(year for year in ELECTION_YEARS if "2002" <= year <= "2022")
_ON_RECORD: Final = tuple(year for year in _HELD if year >= FIRST_HISTORY)
_PROFILE_YEARS: Final = tuple(str(year) for year in range(2010, 2023))
_REDRAWN: Final = tuple(f"{month}|{state}" for state, month in (REDISTRICTING, RENUMBERING))


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A demonstration whose history is loaded, its sources still running.

    Attributes:
        surroundings: its home folder.
        systems: its sources.
        environment: what points processes to them.
        settings: the same as settings.
        runs: how many runs loaded the history.
    """

    surroundings: Surroundings
    systems: SourceSystems
    environment: Mapping[str, str]
    settings: Settings
    runs: int


def run(*, home: Path, voters_per_state: int, port: int, seed: int) -> None:
    """Run the demonstration and print its report.

    Args:
        home: folder for everything that is written; emptied first.
        voters_per_state: registered voters of each simulated state.
        port: port of the service; 0 for a free one.
        seed: seed of the simulated sources.

    Raises:
        PlatformError: a step failed; the message says which, why and what to do.
    """
    console = Console()
    started = time.monotonic()
    with loaded(SimulationConfig(seed=seed, voters_per_state=voters_per_state), home, console) as made:
        loading = time.monotonic() - started
        arrival = _last_month(made, port, console)
        rows = report.show_tables(made.settings, console)
        wrong = show_events(made, console)
        report.show_models(made.settings, console)
    console.print(
        f"History: {made.runs} runs, {rows:,} rows in {loading:.0f} s. "
        f"The last month became a new prediction [bold]{arrival:.0f} s[/bold] after its arrival. "
        f"Events that do not match the truth: {wrong}. In all {time.monotonic() - started:.0f} s."
    )
    console.print(
        "Next: [bold]make dev[/bold] opens the Dagster UI on this instance; docs/ explains the tables; "
        "[bold]make demo-real DATA=...[/bold] runs the same assets on real files."
    )


@contextmanager
def loaded(config: SimulationConfig, home: Path, console: Console, *, whole: bool = False) -> Iterator[Loaded]:
    """Simulate the sources and load their history, in this process.

    Args:
        config: what is simulated.
        home: folder for everything that is written; emptied first.
        console: where progress is shown.
        whole: the last month too, which is otherwise left to arrive.

    Raises:
        LoadError: a step failed; the message says which, why and what to do.
    """
    surroundings = Surroundings(home)
    surroundings.clear()
    surroundings.prepare(["PSEUDONYM_KEY", "SOURCES__PROFILES_KEY"])
    with progress_bars(console) as progress:
        task = progress.add_task("simulating two states", total=None)
        systems = generate(
            config, home / "sources", progress=lambda text: progress.update(task, description=f"simulating: {text}")
        )
        progress.update(task, description="simulated two states", total=1, completed=1)
    with _served(surroundings, systems) as environment, applied(environment):
        settings = Settings.load()
        first, *others = STATES
        months = len(systems.months) - (not whole)
        with loading_instance(surroundings.dagster_home) as instance, progress_bars(console) as progress:
            bars = Bars(progress)
            with loaded_beside(surroundings, environment, others, months):
                runs = len(STATES) * load([snapshots(systems, settings, first, months)], instance, bars)
            runs += load(_history(), instance, bars)
        yield Loaded(surroundings=surroundings, systems=systems, environment=environment, settings=settings, runs=runs)


def show_events(made: Loaded, console: Console) -> int:
    """Print the events found beside those that really happened; returns how many do not match."""
    return report.show_events(_found(made.settings), _truth(made.systems.truth), console)


@contextmanager
def sources(surroundings: Surroundings) -> Iterator[dict[str, str]]:
    """Serve the simulated sources of an earlier demonstration; gives the environment that points to them."""
    with _served(surroundings, reopen(surroundings.home / "sources")) as environment:
        yield environment


@contextmanager
def _served(surroundings: Surroundings, systems: SourceSystems) -> Iterator[dict[str, str]]:
    key = (surroundings.secrets / "mlops_assets_sources__profiles_key").read_text(encoding="utf-8")
    with systems.serve(key=key) as server:
        yield surroundings.environment(
            {
                "SOURCES__PROFILES_URL": server.profiles_url,
                "SOURCES__HOUSE_RETURNS_URL": server.house_returns_url,
                "SOURCES__VOTING_HISTORY": f"sqlite:///{systems.history_database}",
            }
        )


def _history() -> list[Batch]:
    by_state = [f"{year}|{state}" for year in _ON_RECORD for state in STATES]
    # The first three elections only give the history that the features of the fourth need.
    featured = [f"{year}|{state}" for year in (*_ON_RECORD[3:], COMING) for state in STATES]
    forecasts = [year for year in FORECAST_YEARS if "2022" <= year <= COMING]
    return [
        Batch("drift of the voter files", ["variance/voter_drift"], [None]),
        Batch("voting history", ["raw/voting_history", "wrangled/voting_history"], by_state),
        Batch("House returns", ["raw/house_returns", "wrangled/house_results"], _HELD),
        Batch("census profiles", ["raw/district_profiles", "wrangled/district_profiles"], _PROFILE_YEARS),
        Batch("changes of results", ["variance/result_changes", "variance/result_events"], _HELD),
        Batch("features of districts", ["features/district_election"], (*_HELD[1:], COMING)),
        Batch("changes of profiles", ["variance/profile_changes", "variance/profile_events"], _PROFILE_YEARS),
        Batch("named events", ["variance/events"], [None]),
        Batch("flows between districts", ["variance/voter_flows", "reports/voter"], _REDRAWN),
        Batch("features of persons", ["features/person_turnout"], featured),
        Batch("segmentation", ["variance/segmentation", "features/segment_turnout"], forecasts),
        Batch("report", ["reports/history"], [None]),
        Batch("training sets", ["training/person_turnout", "training/district_elections"], forecasts),
        Batch(
            "models",
            [
                "models/person_turnout_evaluation",
                "models/person_turnout",
                "models/district_votes_evaluation",
                "models/district_votes",
                "models/district_share_evaluation",
                "models/district_share",
            ],
            forecasts,
        ),
        Batch("predicted votes and shares", ["predictions/district_votes", "predictions/district_share"], forecasts),
        Batch("predicted turnout", ["predictions/district_turnout"], [f"{y}|{s}" for y in forecasts for s in STATES]),
        Batch("how good the predictions are", ["predictions/monitoring"], forecasts),
        Batch("exports for the service", _SERVED, [None]),
    ]


def _last_month(made: Loaded, port: int, console: Console) -> float:
    """Let the last month arrive and wait for the prediction that it changes; returns the seconds that this took."""
    surroundings, systems, settings = made.surroundings, made.systems, made.settings
    state, month = STATES[-1], systems.months[-1]
    begun = datetime.now(tz=UTC)
    with (
        under_way(console, f"{month} of {', '.join(STATES)} arrives; sensor and automation carry it on") as tell,
        live.service(surroundings, settings, made.environment, port) as client,
        live.daemon(surroundings, made.environment) as daemon_must_live,
        loading_instance(surroundings.dagster_home) as instance,
    ):
        before = _prediction(client.ask, state)
        after = before

        def arrived() -> bool:
            nonlocal after
            daemon_must_live()
            with suppress(live.NoAnswerError):
                after = _prediction(client.get, state)
            return after["features_version"] != before["features_version"]

        # The clock starts with the daemon still starting: what a newcomer waits is what is told.
        dropped = time.monotonic()
        for each in STATES:
            systems.drop(each, month, settings.landing)
        watch = WorkWatch(instance, begun)
        watch.wait_for(arrived, what=f"The prediction of {state} for {COMING} from the files of {month}", tell=tell)
        seconds = time.monotonic() - dropped
        # What else follows from that month.
        watch.wait_for_rest(what=f"What follows from the files of {month}", tell=tell)
    console.print(
        f"GET /v1/tables/predictions/{after['state']}/{after['district']}/{after['measure']}: {after['election']} = "
        f"[bold]{after['value']:.4f}[/bold] ({after['lower']:.4f} to {after['upper']:.4f}, "
        f"{after['coverage']:.0%} interval), was {before['value']:.4f} before {month} arrived"
    )
    return seconds


def _prediction(ask: Callable[..., Any], state: str) -> Mapping[str, float]:
    page = ask("/v1/tables/predictions", state=state, election=COMING, measure="turnout", limit="1")
    items: Sequence[Mapping[str, float]] = page["items"]
    return items[0]


def _found(settings: Settings) -> list[report.Event]:
    """The events of the lake that are no repetition of another."""
    return [
        report.Event(time=str(row["until"]), state=str(row["state"]), cause=str(row["cause"]), name=str(row["name"]))
        for row in report.rows_of(settings, events.EVENTS)
        if not row["same_as"]
    ]


def _truth(truth: Truth) -> list[report.Event]:
    """What happened to the voter files, and maps before them, which aggregates of their first year show."""
    in_files = [
        report.Event(time=f"{event.month}-01", state=event.state, cause=event.cause, name=event.name)
        for event in truth.events
    ]
    before = [
        report.Event(
            time=change.since[:4],
            state=change.state,
            cause="boundary",
            name=f"districts redrawn, {change.districts_before} to {change.districts_after}",
        )
        for change in truth.earlier_maps
    ]
    return before + in_files
