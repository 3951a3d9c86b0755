"""Alerts: one message for each failed run and each failed check, to a log file and a webhook.

Put here finding, wording and sending alerts. Keep out what counts as a failure (that is the contracts' part).

Delivery is at least once: the cursor moves past an event when its alert has been delivered. Each alert has a stable id,
by which a receiver recognises a repetition.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Final, Literal

import dagster as dg
import httpx
from pydantic import BaseModel, ConfigDict

from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dagster import EventLogEntry

_LOG: Final = logging.getLogger(__name__)
_BATCH: Final = 200
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


def collect_alerts(
    instance: dg.DagsterInstance, owners: Mapping[dg.AssetKey, Sequence[str]], cursor: int
) -> list[tuple[int, Alert | None]]:
    """Events after the cursor in order, each with its alert or ``None`` where there is nothing to tell.

    A run that failed because of its checks is told by its checks alone.

    Args:
        instance: the Dagster instance.
        owners: the assets to look after, with their owners.
        cursor: storage id of the last event looked at.
    """
    found: list[tuple[int, Alert | None]] = []
    for kind, make in (
        (dg.DagsterEventType.ASSET_CHECK_EVALUATION, _check_alert),
        (dg.DagsterEventType.RUN_FAILURE, _run_alert),
    ):
        records = instance.get_event_records(
            dg.EventRecordsFilter(kind, after_cursor=cursor), limit=_BATCH, ascending=True
        )
        found += [(record.storage_id, make(instance, record.event_log_entry, owners)) for record in records]
        if len(records) == _BATCH:
            # More of this kind are waiting: nothing later than the last one seen may be passed over.
            last = records[-1].storage_id
            found = [(number, alert) for number, alert in found if number <= last]
    return sorted(found, key=lambda pair: pair[0])


def _check_alert(
    instance: dg.DagsterInstance, entry: EventLogEntry, owners: Mapping[dg.AssetKey, Sequence[str]]
) -> Alert | None:
    del instance
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
    instance: dg.DagsterInstance, entry: EventLogEntry, owners: Mapping[dg.AssetKey, Sequence[str]]
) -> Alert | None:
    run = instance.get_run_by_id(entry.run_id)
    if run is None:
        return None
    selected = sorted(run.asset_selection or ())
    mine = [key for key in selected if key in owners]
    if not mine:
        return None
    failures = instance.all_logs(entry.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    told_by_checks = [event for event in failures if _is_check_failure(event)]
    if failures and len(told_by_checks) == len(failures):
        return None
    failure = next((event for event in failures if not _is_check_failure(event)), None)
    partition = run.tags.get("dagster/partition")
    step = failure.step_key if failure is not None else None
    assets = ", ".join(key.to_user_string() for key in mine)
    return Alert(
        id=f"run-{entry.run_id}",
        kind="run_failed",
        severity="error",
        asset=assets,
        partition=partition,
        rule=step or "run",
        rows=None,
        owner=", ".join(sorted({owner for key in mine for owner in owners[key]})),
        message=f"The run of {assets}{_in(partition)} failed: {_why(failure, entry)}",
        run_id=entry.run_id,
        at=entry.timestamp,
    )


def _is_check_failure(event: EventLogEntry) -> bool:
    error = event.get_dagster_event().step_failure_data.error
    return error is not None and error.cls_name == "DagsterAssetCheckFailedError"


def _why(failure: EventLogEntry | None, entry: EventLogEntry) -> str:
    if failure is not None:
        data = failure.get_dagster_event().step_failure_data
        if data.user_failure_data is not None and data.user_failure_data.description:
            return str(data.user_failure_data.description)
        # The text of an unexpected exception may quote a row; its type does not.
        cause = data.error
        while cause is not None and cause.cause is not None:
            cause = cause.cause
        return f"{cause.cls_name if cause is not None else 'unknown error'}; see the run's log."
    return entry.get_dagster_event().message or "it ended without a failing step."


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
    def _alert(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        settings = Settings.load()
        # Two positions: an alert that waits for its receiver is logged once all the same.
        state: dict[str, int] = json.loads(context.cursor) if context.cursor else {"sent": 0, "logged": 0}
        sent = 0
        for number, alert in collect_alerts(context.instance, owners, state["sent"]):
            if alert is not None:
                if number > state["logged"]:
                    log(alert, settings)
                    state["logged"] = number
                try:
                    post(alert, settings)
                except httpx.HTTPError as error:
                    context.log.warning("The webhook did not take alert %s (%s).", alert.id, type(error).__name__)
                    break
                sent += 1
            state["sent"] = number
        context.update_cursor(json.dumps(state))
        return dg.SkipReason(f"Sent {sent} alerts." if sent else "Nothing failed.")

    return _alert
