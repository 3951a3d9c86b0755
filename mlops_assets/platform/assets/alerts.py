"""Alerts: one message for each failed run and each failed check, to a log file and a webhook.

Put here finding, wording and sending alerts. Keep out what counts as a failure (that is the contracts' part).

Delivery is at least once: the cursor moves past a run when its alerts have been delivered. Each alert has a stable id,
by which a receiver recognises a repetition.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import TYPE_CHECKING, Final, Literal

import dagster as dg
import httpx
from pydantic import BaseModel, ConfigDict

from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dagster import EventLogEntry

_LOG: Final = logging.getLogger(__name__)
_OVERLAP_SECONDS: Final = 60.0
_SEND_ATTEMPTS: Final = 3
_SEND_SECONDS: Final = 10.0


class Alert(BaseModel):
    """One alert, without personal data.

    Attributes:
        id: stable id of the event it tells of.
        kind: ``check_failed`` or ``run_failed``.
        severity: ``error`` when nothing was published, ``warning`` when the data flowed on.
        asset: asset key as text; for a run, all assets it was to make.
        partition: partition key, if any.
        rule: the failed check; for a run, the failed step.
        rows: rows that break the rule, where known.
        owner: who is asked to act.
        message: one sentence with what happened.
        run_id: the run, if any.
        at: seconds since the epoch.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Literal["check_failed", "run_failed"]
    severity: Literal["error", "warning"]
    asset: str
    partition: str | None
    rule: str
    rows: int | None
    owner: str
    message: str
    run_id: str | None
    at: float


class Position(BaseModel):
    """How far the sensor has looked.

    Attributes:
        ended: end of the latest run told of, seconds since the epoch.
        told: ids of runs told of that ended within the overlap before that.
        logged: ids of alerts in the log whose receiver has not taken them yet.
    """

    ended: float = 0.0
    told: dict[str, float] = {}
    logged: list[str] = []


def collect_alerts(
    instance: dg.DagsterInstance, owners: Mapping[dg.AssetKey, Sequence[str]], position: Position
) -> list[tuple[dg.RunRecord, list[Alert]]]:
    """Runs that ended since that position, oldest first, each with its alerts.

    Every storage can tell which runs changed since a time, but not every one can tell events across runs. Ends are
    looked for with an overlap, because runs do not end in the order in which their ends are written.

    Args:
        instance: the Dagster instance.
        owners: the assets to look after, with their owners.
        position: how far the sensor has looked.
    """
    since = position.ended - _OVERLAP_SECONDS
    records = instance.get_run_records(
        dg.RunsFilter(updated_after=dt.datetime.fromtimestamp(max(since, 0.0), tz=dt.UTC))
    )
    ended = [
        record
        for record in records
        if record.end_time is not None
        and record.end_time >= since
        and record.dagster_run.is_finished
        and record.dagster_run.run_id not in position.told
    ]
    return [(record, _alerts_of(instance, record, owners)) for record in sorted(ended, key=lambda r: r.end_time or 0.0)]


def _alerts_of(
    instance: dg.DagsterInstance, record: dg.RunRecord, owners: Mapping[dg.AssetKey, Sequence[str]]
) -> list[Alert]:
    run = record.dagster_run
    evaluations = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    alerts = [alert for entry in evaluations if (alert := _check_alert(entry, owners)) is not None]
    if run.is_failure and (alert := _run_alert(instance, record, owners)) is not None:
        alerts.append(alert)
    return alerts


def _check_alert(entry: EventLogEntry, owners: Mapping[dg.AssetKey, Sequence[str]]) -> Alert | None:
    evaluation = entry.get_dagster_event().asset_check_evaluation_data
    if evaluation.passed or evaluation.asset_key not in owners:
        return None
    metadata = {name: value.value for name, value in evaluation.metadata.items()}
    rows = metadata.get("failing_rows")
    asset = evaluation.asset_key.to_user_string()
    partition = evaluation.partition
    blocking = evaluation.severity is dg.AssetCheckSeverity.ERROR
    consequence = "nothing was published, the last good data stands" if blocking else "the data flowed on"
    what = str(metadata["problem"]) if "problem" in metadata else f"{rows} rows break it"
    return Alert(
        id=f"check-{entry.run_id or 'runless'}-{asset}-{partition}-{evaluation.check_name}-{entry.timestamp:.6f}",
        kind="check_failed",
        severity="error" if blocking else "warning",
        asset=asset,
        partition=partition,
        rule=evaluation.check_name,
        rows=int(rows) if isinstance(rows, int) else None,
        owner=", ".join(owners[evaluation.asset_key]),
        message=f"Check {evaluation.check_name} of {asset}{_in(partition)} failed: {what}; {consequence}.",
        run_id=entry.run_id or None,
        at=entry.timestamp,
    )


def _run_alert(
    instance: dg.DagsterInstance, record: dg.RunRecord, owners: Mapping[dg.AssetKey, Sequence[str]]
) -> Alert | None:
    """The alert of a failed run; none when its checks tell of it already."""
    run = record.dagster_run
    planned = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    selected = sorted({event.get_dagster_event().asset_materialization_planned_data.asset_key for event in planned})
    mine = [key for key in selected if key in owners]
    if not mine:
        return None
    failures = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    told_by_checks = [event for event in failures if _is_check_failure(event)]
    if failures and len(told_by_checks) == len(failures):
        return None
    failure = next((event for event in failures if not _is_check_failure(event)), None)
    partition = run.tags.get("dagster/partition")
    step = failure.step_key if failure is not None else None
    assets = ", ".join(key.to_user_string() for key in mine)
    return Alert(
        id=f"run-{run.run_id}",
        kind="run_failed",
        severity="error",
        asset=assets,
        partition=partition,
        rule=step or "run",
        rows=None,
        owner=", ".join(sorted({owner for key in mine for owner in owners[key]})),
        message=f"The run of {assets}{_in(partition)} failed: {_why(failure)}",
        run_id=run.run_id,
        at=record.end_time or 0.0,
    )


def _is_check_failure(event: EventLogEntry) -> bool:
    error = event.get_dagster_event().step_failure_data.error
    return error is not None and error.cls_name == "DagsterAssetCheckFailedError"


def _why(failure: EventLogEntry | None) -> str:
    if failure is not None:
        data = failure.get_dagster_event().step_failure_data
        if data.user_failure_data is not None and data.user_failure_data.description:
            return str(data.user_failure_data.description)
        # The text of an unexpected exception may quote a row; its type does not.
        cause = data.error
        while cause is not None and cause.cause is not None:
            cause = cause.cause
        return f"{cause.cls_name if cause is not None else 'unknown error'}; see the run's log."
    return "it ended before a step could tell why (killed, or never started)."


def _in(partition: str | None) -> str:
    return f" in partition {partition}" if partition else ""


def log(alert: Alert, settings: Settings) -> None:
    """Append the alert to the log file as one JSON line, and to the process's log."""
    _LOG.log(logging.ERROR if alert.severity == "error" else logging.WARNING, "%s", alert.message)
    settings.alert_log.parent.mkdir(parents=True, exist_ok=True)
    with settings.alert_log.open("a", encoding="utf-8") as file:
        file.write(alert.model_dump_json() + "\n")


def post(alert: Alert, settings: Settings) -> None:
    """Post the alert to the webhook, if one is set.

    Raises:
        httpx.HTTPError: the webhook did not take it in any attempt.
    """
    if settings.alerts.webhook_url is None:
        return
    for attempt in range(1, _SEND_ATTEMPTS + 1):
        try:
            response = httpx.post(
                settings.alerts.webhook_url.get_secret_value(),
                json=alert.model_dump(),
                headers={"Idempotency-Key": alert.id},
                timeout=_SEND_SECONDS,
            )
            response.raise_for_status()
        except httpx.HTTPError:
            if attempt == _SEND_ATTEMPTS:
                raise
            time.sleep(0.2 * attempt)
        else:
            return


def alert_sensor(name: str, assets: Iterable[dg.AssetSpec]) -> dg.SensorDefinition:
    """The sensor that tells of failures of these assets, each one once the receiver has taken it."""
    owners = {spec.key: tuple(spec.owners) for spec in assets}

    @dg.sensor(
        name=name,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends one alert for each failed run and each failed check to the log and the webhook.",
    )
    @told_plainly(f"Sensor {name}")
    def _alert(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        settings = Settings.load()
        position = Position.model_validate_json(context.cursor) if context.cursor else Position()
        sent = 0
        for record, alerts in collect_alerts(context.instance, owners, position):
            for alert in alerts:
                if alert.id not in position.logged:
                    log(alert, settings)
                    position.logged.append(alert.id)
            try:
                for alert in alerts:
                    post(alert, settings)
                    sent += 1
            except httpx.HTTPError as error:
                context.log.warning("The webhook does not take alerts (%s).", type(error).__name__)
                break
            position.logged = []
            position.ended = max(position.ended, record.end_time or 0.0)
            position.told[record.dagster_run.run_id] = record.end_time or 0.0
        overlap = position.ended - 2 * _OVERLAP_SECONDS
        position.told = {run_id: end for run_id, end in position.told.items() if end >= overlap}
        context.update_cursor(position.model_dump_json())
        return dg.SkipReason(f"Sent {sent} alerts." if sent else "Nothing failed.")

    return _alert
