"""Alerts: who is told of which fault, once when it begins and once when it ends.

Put here the sensor and what it remembers. Keep out what a fault is (``faults``) and how its alert is delivered
(``delivery``).

What was told is kept in the instance's own storage, so that a sensor's lost cursor repeats nothing.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Final, TypeVar

import dagster as dg
from pydantic import BaseModel

from mlops_assets.platform.assets.delivery import Alert, Delivery, deliver, deliveries
from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.assets.faults import Severity, ended_runs, faults_of, has_passed
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlops_assets.platform.assets.faults import Fault, Subject

WINDOW_SECONDS: Final = 3600.0
"""How far a sensor looks back that remembers nothing."""

_OVERLAP_SECONDS: Final = 60.0
"""Runs do not end in the order in which their ends are written."""

_LOG: Final = logging.getLogger(__name__)
_LISTED: Final = 5


class OpenFault(BaseModel):
    """What a partition is known to suffer from.

    Attributes:
        fault: id of the fault.
        severity: the worst that was told.
        rules: all that were told.
        at: when it was last seen, seconds since the epoch.
    """

    fault: str
    severity: Severity
    rules: tuple[str, ...]
    at: float


_Known = TypeVar("_Known", Alert, OpenFault)


class Memory(BaseModel):
    """What an alert sensor remembers from tick to tick.

    Attributes:
        ended: end of the latest run looked at, seconds since the epoch.
        known: ids of runs looked at that ended shortly before, with their ends.
        open: what partitions suffer from, by asset and partition as a JSON list.
        faults: what was told of each open fault.
        waiting: what webhooks have not taken yet.
    """

    ended: float
    known: dict[str, float] = {}
    open: dict[str, OpenFault] = {}
    faults: dict[str, Alert] = {}
    waiting: list[Delivery] = []


def tell(
    instance: dg.DagsterInstance,
    name: str,
    owners: Mapping[dg.AssetKey, Sequence[str]],
    settings: Settings,
    *,
    now: float,
) -> int:
    """Tell of the faults of these assets that began or ended since the last time; returns how many alerts that makes.

    Args:
        instance: the Dagster instance, which also keeps what was told.
        name: under which it is kept.
        owners: the assets to look after, with their owners.
        settings: where alerts go.
        now: seconds since the epoch.
    """
    key = f"mlops_assets/alerts/{name}"
    storage = instance.daemon_cursor_storage
    kept = storage.get_cursor_values({key}).get(key)
    memory = Memory.model_validate_json(kept) if kept else Memory(ended=now - WINDOW_SECONDS)

    def keep() -> None:
        storage.set_cursor_values({key: memory.model_dump_json()})

    alerts = [*_begun(instance, owners, memory), *_ended(instance, memory, now)]
    for alert in alerts:
        _log(alert.message, alert, settings, level=logging.ERROR if alert.severity == "error" else logging.WARNING)
        memory.waiting += deliveries(alert, settings.alerts, now)
    # Before anything is sent, so that whatever ends this tick, no alert is raised twice.
    keep()
    for refused in deliver(memory.waiting, settings.alerts, now, keep):
        _log_refusal(refused, settings)
    return len(alerts)


def _begun(
    instance: dg.DagsterInstance, owners: Mapping[dg.AssetKey, Sequence[str]], memory: Memory
) -> Iterable[Alert]:
    """The alerts of what went wrong in runs that ended since, as far as it is not told yet."""
    for record in ended_runs(instance, memory.ended - _OVERLAP_SECONDS, memory.known):
        for fault in faults_of(instance, record, owners.keys()):
            news = [subject for subject in fault.subjects if not _told(memory.open.get(_key(subject)), fault)]
            before = {open_.fault for subject in news if (open_ := memory.open.get(_key(subject))) is not None}
            alert = _alert(fault, news, owners, fault_id=before.pop() if len(before) == 1 else fault.id)
            for subject, at in fault.subjects.items():
                known = memory.open.get(_key(subject))
                if subject not in news and known is not None:
                    known.at = at
                    continue
                begun = OpenFault(fault=alert.fault, severity=fault.severity, rules=fault.rules, at=at)
                memory.open[_key(subject)] = _joined(known, begun) if known is not None else begun
            if news:
                memory.faults[alert.fault] = _joined(memory.faults.get(alert.fault, alert), alert)
                yield alert
        end = record.end_time or 0.0
        memory.known[record.dagster_run.run_id] = end
        memory.ended = max(memory.ended, end)


def _ended(instance: dg.DagsterInstance, memory: Memory, now: float) -> Iterable[Alert]:
    """The alerts of faults none of whose partitions suffers any more."""
    since = memory.ended - _OVERLAP_SECONDS
    for key, fault in list(memory.open.items()):
        asset, partition = json.loads(key)
        if has_passed(instance, (asset, partition), fault.at, memory.known, since):
            del memory.open[key]
    still = {fault.fault for fault in memory.open.values()}
    for fault_id in [fault_id for fault_id in memory.faults if fault_id not in still]:
        first = memory.faults.pop(fault_id)
        where = f"{first.asset}{_in(first.partition)}"
        yield first.model_copy(
            update={
                "id": f"{fault_id}-resolved",
                "kind": "resolved",
                "rows": None,
                "message": f"{where} was published again: {', '.join(first.rules)} no longer fails.",
                "run_id": None,
                "at": now,
            }
        )
    memory.known = {run_id: end for run_id, end in memory.known.items() if end >= since}


def _joined(first: _Known, then: _Known) -> _Known:
    """What was told first, with the rules of what was told then; of the two severities the worse."""
    return first.model_copy(
        update={
            "fault": then.fault,
            "severity": "error" if "error" in {first.severity, then.severity} else "warning",
            "rules": tuple(dict.fromkeys([*first.rules, *then.rules])),
            "at": then.at,
        }
    )


def _told(known: OpenFault | None, fault: Fault) -> bool:
    """Whether what the partition is known to suffer from says the same or worse."""
    if known is None or (known.severity == "warning" and fault.severity == "error"):
        return False
    return set(fault.rules) <= set(known.rules)


def _alert(
    fault: Fault, subjects: Sequence[Subject], owners: Mapping[dg.AssetKey, Sequence[str]], *, fault_id: str
) -> Alert:
    assets = fault.assets
    partitions = sorted({partition for _, partition in subjects if partition is not None})
    listed = ", ".join(partitions[:_LISTED])
    if len(partitions) > _LISTED:
        listed += f" and {len(partitions) - _LISTED} more"
    asset = ", ".join(assets)
    return Alert(
        id=fault.id,
        fault=fault_id,
        kind=fault.kind,
        severity=fault.severity,
        asset=asset,
        partition=listed or None,
        rules=fault.rules,
        rows=fault.rows,
        owner=", ".join(sorted({owner for key in assets for owner in owners[dg.AssetKey.from_user_string(key)]})),
        message=f"{asset}{_in(listed)} {fault.what}",
        run_id=fault.run_id,
        at=max(fault.subjects.values()),
    )


def _key(subject: Subject) -> str:
    return json.dumps(subject)


def _in(partition: str | None) -> str:
    return f" in partition {partition}" if partition else ""


class Refusal(BaseModel):
    """A line of the alert log: a webhook does not take an alert.

    Attributes:
        kind: ``refused``; ``given_up`` when it is not offered any more.
        alert: id of the alert.
        route: which webhook.
        problem: what it answers, without its address.
        attempts: how often it was tried.
    """

    kind: str
    alert: str
    route: str
    problem: str
    attempts: int


def _log_refusal(delivery: Delivery, settings: Settings) -> None:
    refusal = Refusal(
        kind="refused" if delivery.attempts == 1 else "given_up",
        alert=delivery.alert.id,
        route=delivery.route,
        problem=delivery.problem or "",
        attempts=delivery.attempts,
    )
    said = f"The webhook of {refusal.route} does not take alert {refusal.alert} ({refusal.problem})."
    _log(said, refusal, settings, level=logging.WARNING)


def _log(said: str, line: BaseModel, settings: Settings, *, level: int) -> None:
    """Append the line to the alert log as JSON, and the words to the process's log."""
    _LOG.log(level, "%s", said)
    try:
        settings.alert_log.parent.mkdir(parents=True, exist_ok=True)
        with settings.alert_log.open("a", encoding="utf-8") as file:
            file.write(line.model_dump_json() + "\n")
    except OSError as error:
        # A full disk must not keep the webhooks from telling of it.
        _LOG.warning("The alert log cannot be written (%s).", error.strerror)


def alert_sensor(name: str, assets: Iterable[dg.AssetSpec]) -> dg.SensorDefinition:
    """The sensor that tells the owners of these assets of each fault, when it begins and when it has ended."""
    owners = {spec.key: tuple(spec.owners) for spec in assets}

    @dg.sensor(
        name=name,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells of each fault of a table, to log and webhooks, when it begins and when it has ended.",
    )
    @told_plainly(f"Sensor {name}")
    def _alert_of_faults(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        told = tell(context.instance, name, owners, Settings.load(), now=time.time())
        return dg.SkipReason(f"Raised {told} alerts." if told else "Nothing new failed.")

    return _alert_of_faults
