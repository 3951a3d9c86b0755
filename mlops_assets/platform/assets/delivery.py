"""Delivery: bringing alerts to webhooks, each until it was taken.

Put here where alerts go, and how often that is tried. Keep out what an alert says (``faults``) and when one is due
(``alerts``).

Delivery is at least once. A webhook that refuses an alert, or is away, gets it again after growing pauses, and the
others meanwhile. One that does not answer in time may have taken it: it gets the alert again with the same id, by which
it can drop the repetition.
"""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Literal

import httpx
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlops_assets.platform.settings import AlertSettings, WebhookSettings

COMMON: Final = "*"
"""The route of the webhook that gets alerts of all roles; no team can be named so."""

SEND_SECONDS: Final = 10.0
TICK_SECONDS: Final = 20.0
"""For how long new attempts are begun in one tick, which Dagster ends after a minute."""

_FIRST_PAUSE_SECONDS: Final = 10.0
_LONGEST_PAUSE_SECONDS: Final = 3600.0
KEEP_SECONDS: Final = 7 * 86400.0
"""For how long an alert is offered to a webhook that does not take it."""

_LIBRARY_LOGGERS: Final = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")
_POSTING: Final[ContextVar[bool]] = ContextVar("posting", default=False)
"""Whether this thread is posting: the libraries log each address that they call, and a webhook's is a secret."""


def _not_of_a_post(_record: logging.LogRecord) -> bool:
    return not _POSTING.get()


class Alert(BaseModel):
    """One alert, without values of rows.

    Attributes:
        id: stable id, also sent as the header ``Idempotency-Key``.
        fault: id of the alert with which the fault began; the same in all alerts of the fault.
        kind: ``check_failed``, ``run_failed``, or ``resolved`` when the fault has ended.
        severity: ``error`` when nothing was published, ``warning`` when the data flowed on.
        asset: asset key as text; for a run that ended without a word, all assets it was to make.
        partition: partition key, if any; several are separated by commas.
        rules: the kinds of rules that were broken, and judged checks that failed; for a run, the failed step.
        rows: rows that break the rules, where known.
        owner: who is asked to act.
        message: what happened, and what follows from it.
        run_id: the run.
        at: seconds since the epoch.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    fault: str
    kind: Literal["check_failed", "run_failed", "resolved"]
    severity: Literal["warning", "error"]
    asset: str
    partition: str | None
    rules: tuple[str, ...]
    rows: int | None
    owner: str
    message: str
    run_id: str | None
    at: float

    @property
    def roles(self) -> list[str]:
        """The roles of its owners: ``plumbing`` for ``team:plumbing``."""
        return [owner.strip().removeprefix("team:").lower() for owner in self.owner.split(",")]


class Delivery(BaseModel):
    """One alert on its way to one webhook.

    Attributes:
        route: a role, or ``*`` for the common webhook.
        alert: the alert.
        attempts: how often it was tried.
        due: when it is tried next, seconds since the epoch.
        begun: when it was first to be sent.
        problem: why the last attempt failed.
    """

    route: str
    alert: Alert
    attempts: int = 0
    due: float
    begun: float
    problem: str | None = None


def routes(settings: AlertSettings) -> dict[str, WebhookSettings]:
    """The webhooks by route."""
    common = {COMMON: settings.common} if settings.common is not None else {}
    return {**common, **{role.lower(): webhook for role, webhook in settings.webhooks.items()}}


def deliveries(alert: Alert, settings: AlertSettings, now: float) -> list[Delivery]:
    """The ways of the alert: to the common webhook and those of its owners' roles, where they want its severity."""
    return [
        Delivery(route=route, alert=alert, due=now, begun=now)
        for route, webhook in routes(settings).items()
        if (route == COMMON or route in alert.roles) and (webhook.least == "warning" or alert.severity == "error")
    ]


def deliver(
    waiting: list[Delivery], settings: AlertSettings, now: float, kept: Callable[[], None]
) -> Iterator[Delivery]:
    """Try what is due; what was taken is removed from the list, what was not stays there with its next time.

    Args:
        waiting: what is to be delivered; changed in place.
        settings: the webhooks.
        now: seconds since the epoch.
        kept: called before and after each attempt, to keep the list.

    Yields:
        What was refused for the first time, and what is given up.
    """
    webhooks = routes(settings)
    waiting[:] = [delivery for delivery in waiting if delivery.route in webhooks]
    end = time.monotonic() + TICK_SECONDS
    # Those that were tried least come first, so that a slow webhook does not keep the rest waiting.
    for delivery in sorted(waiting, key=lambda d: (d.attempts, d.due)):
        if delivery.due > now:
            continue
        if time.monotonic() > end:
            return
        pause = _FIRST_PAUSE_SECONDS * 2.0 ** min(delivery.attempts, 16)
        delivery.attempts += 1
        delivery.due = now + min(pause, _LONGEST_PAUSE_SECONDS)
        # Before the attempt, so that one which never ends does not come first in the next tick.
        kept()
        delivery.problem = _post(delivery.alert, webhooks[delivery.route])
        given_up = now - delivery.begun > KEEP_SECONDS
        if delivery.problem is None or given_up:
            waiting.remove(delivery)
        kept()
        if delivery.problem is not None and (delivery.attempts == 1 or given_up):
            yield delivery


def _post(alert: Alert, webhook: WebhookSettings) -> str | None:
    """Post the alert once; returns what went wrong, without the address."""
    for name in _LIBRARY_LOGGERS:
        logging.getLogger(name).addFilter(_not_of_a_post)
    before = _POSTING.set(True)
    try:
        response = httpx.post(
            webhook.url.get_secret_value(),
            json=alert.model_dump(mode="json"),
            headers={"Idempotency-Key": alert.id},
            timeout=SEND_SECONDS,
        )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        # Also an address that cannot be encoded, or a certificate file that is away; their texts may quote the address.
        return type(error).__name__
    finally:
        _POSTING.reset(before)
    return None if response.is_success else f"HTTP {response.status_code}"
