"""Sensors: what arrived in the landing folder, and the run that each arrival asks for.

Put here how arrivals are noticed. Keep out reading the files (that is the connector) and anything due by the calendar.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import dagster as dg
from pydantic import TypeAdapter, ValidationError

from mlops_assets.contracts.partitions import SNAPSHOT_MONTHS, STATES
from mlops_assets.contracts.raw import VOTER_FILE
from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.errors import PlatformError, SourceUnavailableError
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.assets.voter_file import FILE_SHA256
from mlops_assets.plumbing.connectors.landing import MANIFEST, Landing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TICK_SECONDS: Final = 5

_DIGEST_CHARACTERS: Final = 16
_MOST_TOLD: Final = 10
_SEEN: Final = TypeAdapter(dict[str, tuple[str, int]])


@dataclass(frozen=True)
class Arrival:
    """A voter file that is complete and has not been asked for in this version.

    Attributes:
        partition_key: its partition of the voter file.
        digest: the start of the SHA-256 of its manifest.
        file_sha256: SHA-256 of the file, as the manifest says.
        delivery: 1 for the partition's first delivery, 2 for the one that replaced it, and so on.
    """

    partition_key: str
    digest: str
    file_sha256: str
    delivery: int

    @property
    def run_key(self) -> str:
        """Dagster runs a key once for ever; the delivery's number lets a file return after another replaced it."""
        return f"{self.partition_key}:{self.digest}:{self.delivery}"


@dataclass(frozen=True)
class Collected:
    """What a look at the landing folder found.

    Attributes:
        arrivals: complete files that are new or replaced, by state and month.
        problems: what is there but cannot be used, one sentence each.
        cursor: what to hand in at the next look.
    """

    arrivals: tuple[Arrival, ...]
    problems: tuple[str, ...]
    cursor: str


def collect_arrivals(landing: Landing, cursor: str | None) -> Collected:
    """Compare the landing folder with what has been seen before.

    A folder without a manifest is still being delivered and says nothing. A cursor that cannot be read counts as none:
    everything arrives once more, and Dagster knows the run keys.
    """
    seen = _seen(cursor)
    arrivals: list[Arrival] = []
    problems: list[str] = []
    for state, month in _places(landing, problems):
        try:
            manifest = landing.manifest(state=state, month=month)
        except SourceUnavailableError as error:
            if (landing.folder / state / month / MANIFEST).exists():
                problems.append(str(error))
            continue
        except PlatformError as error:
            problems.append(str(error))
            continue
        partition_key = dg.MultiPartitionKey({"month": month, "state": state})
        digest = hashlib.sha256(manifest.model_dump_json().encode()).hexdigest()[:_DIGEST_CHARACTERS]
        last_digest, deliveries = seen.get(partition_key, ("", 0))
        if digest != last_digest:
            arrivals.append(Arrival(str(partition_key), digest, manifest.sha256, deliveries + 1))
            seen[str(partition_key)] = (digest, deliveries + 1)
    return Collected(tuple(arrivals), tuple(problems), _SEEN.dump_json(seen).decode())


def is_published(instance: dg.DagsterInstance, arrival: Arrival) -> bool:
    """Whether the partition's latest materialization is of this very file, as after a loading without the sensor."""
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(VOTER_FILE.key, asset_partitions=[arrival.partition_key]), limit=1
    )
    for record in found.records:
        if record.asset_materialization is not None:
            published = record.asset_materialization.metadata.get(FILE_SHA256)
            return published is not None and published.value == arrival.file_sha256
    return False


def _seen(cursor: str | None) -> dict[str, tuple[str, int]]:
    try:
        return _SEEN.validate_json(cursor or "{}")
    except ValidationError:
        return {}


def _places(landing: Landing, problems: list[str]) -> Iterator[tuple[str, str]]:
    """The states and months that have a folder, those that the platform does not know told as problems."""
    for state in _folders(landing.folder, problems):
        if state.name not in STATES:
            problems.append(f"Landing folder {state.name!r} is not a state that is loaded ({', '.join(STATES)}).")
            continue
        for month in _folders(state, problems):
            if month.name in SNAPSHOT_MONTHS:
                yield state.name, month.name
            else:
                problems.append(
                    f"Landing folder '{state.name}/{month.name}' is not a month from {SNAPSHOT_MONTHS[0]} to "
                    f"{SNAPSHOT_MONTHS[-1]}."
                )


def _folders(folder: Path, problems: list[str]) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        problems.append(f"Landing folder {folder.name!r} cannot be listed ({error.strerror}).")
        return []


@dg.sensor(
    name="landing",
    asset_selection=dg.AssetSelection.assets(VOTER_FILE.key),
    minimum_interval_seconds=TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a run for each voter file whose manifest has arrived, again when a file is replaced.",
)
@told_plainly("Sensor landing")
def landing_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """One run request for each arrival; folders that cannot be used are told in the tick, which does not fail."""
    found = collect_arrivals(Landing(Settings.load().landing), context.cursor)
    told = " ".join(found.problems[:_MOST_TOLD])
    if len(found.problems) > _MOST_TOLD:
        told += f" And {len(found.problems) - _MOST_TOLD} more."
    arrivals = [arrival for arrival in found.arrivals if not is_published(context.instance, arrival)]
    if not arrivals:
        return dg.SensorResult(skip_reason=told or "Nothing new has arrived.", cursor=found.cursor)
    if told:
        context.log.warning(told)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=arrival.run_key, partition_key=arrival.partition_key, asset_selection=[VOTER_FILE.key]
            )
            for arrival in arrivals
        ],
        cursor=found.cursor,
    )
