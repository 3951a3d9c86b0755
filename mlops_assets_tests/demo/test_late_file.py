"""A late file of an old month travels through the running daemon: sensor, automation, and every table it changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.contracts import features, wrangled
from mlops_assets.demo import live
from mlops_assets.demo.history import Batch, load
from mlops_assets.demo.report import rows_of
from mlops_assets.demo.simulated import sources
from mlops_assets.demo.snapshots import SNAPSHOT_ASSETS
from mlops_assets.demo.surroundings import Surroundings, applied
from mlops_assets.demo.waiting import WorkWatch
from mlops_assets.platform.settings import Settings
from mlops_assets.simulation.configuration import SimulationConfig
from mlops_assets.simulation.sources import generate
from mlops_assets.wrangling import compared

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.platform.contracts.contract import Contract

_EARLIER, _LATE, _LATER = "2021-07", "2021-08", "2021-09"


def _months(settings: Settings, contract: Contract) -> set[Any]:
    return {row["month"] for row in rows_of(settings, contract)}


def test_a_late_file_of_an_old_month_changes_its_own_and_the_next_months_tables_without_a_hand(tmp_path: Path) -> None:
    surroundings = Surroundings(tmp_path / "home")
    surroundings.prepare(["PSEUDONYM_KEY", "SOURCES__PROFILES_KEY"])
    systems = generate(SimulationConfig(voters_per_state=2000), surroundings.home / "sources")
    with sources(surroundings) as environment, applied(environment):
        settings = Settings.load()
        for month in (_EARLIER, _LATER):
            systems.drop("NC", month, settings.landing)
        on_time = [f"{month}|NC" for month in (_EARLIER, _LATER)]
        with dg.DagsterInstance.from_config(str(surroundings.dagster_home)) as instance:
            load([Batch("on time", SNAPSHOT_ASSETS, on_time)], instance, lambda *_: None)
        # The month before the later one is missing, so there is nothing to compare it with.
        assert _months(settings, compared.VOTERS.changes()) == set()

        begun = datetime.now(tz=UTC)
        with (
            live.daemon(surroundings, environment) as daemon_must_live,
            dg.DagsterInstance.from_config(str(surroundings.dagster_home)) as instance,
        ):
            systems.drop("NC", _LATE, settings.landing)

            def carried_on() -> bool:
                daemon_must_live()
                # Features wait until somebody has looked for events in what they are made from.
                return _months(settings, compared.VOTERS.changes()) == {_LATE, _LATER} and _months(
                    settings, features.DISTRICT_DEMOGRAPHICS
                ) == {_EARLIER, _LATE, _LATER}

            WorkWatch(instance, begun).wait_for(carried_on, what="What follows from the late month", pause=3.0)
        assert _months(settings, wrangled.ENTRY_FINDINGS) >= {_LATE}
