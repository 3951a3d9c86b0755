"""The reaper as a process: settles again and again, through outages of the engine and of the storage.

Put here the loop and what it needs from outside. Keep out what is settled.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import docker
import docker.errors
import duckdb
import requests.exceptions
import sqlalchemy.exc
from dagster import DagsterInstance
from dagster_postgres.utils import DagsterPostgresException

from mlops_assets.deployment.reaper import Patience, Reaper
from mlops_assets.platform.errors import PlatformError
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import sweep
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

_LOG: Final = logging.getLogger(__name__)
_AWAY: Final = (
    docker.errors.DockerException,
    requests.exceptions.RequestException,
    sqlalchemy.exc.SQLAlchemyError,
    DagsterPostgresException,
    duckdb.Error,
    PlatformError,
)
"""What ends a look and not the process: the engine, the storage or a lake does not answer."""

_MOST_PAUSE: Final = 30.0


def reap(*, deployment: str, interval: float, heartbeat: Path | None, sweep_lakes: bool, once: bool = False) -> None:
    """Settle every few seconds until the process is told to end.

    Args:
        deployment: the deployment's name.
        interval: seconds between two looks.
        heartbeat: file that is touched after each look that succeeded, for a health check; ``None`` for none.
        sweep_lakes: whether staged files of runs that did not succeed are removed at once.
        once: look once, and let an outage end the process.
    """
    pause = interval
    reaper: Reaper | None = None
    while True:
        try:
            reaper = reaper or Reaper(
                instance=DagsterInstance.get(),
                engine=docker.from_env(),
                deployment=deployment,
                patience=Patience(),
                after_failure=_sweep if sweep_lakes else lambda: None,
            )
            reaper.settle()
            if heartbeat is not None:
                heartbeat.touch()
            pause = interval
        except _AWAY as error:
            if once:
                raise
            # What is not settled now is settled when both are back; nothing is lost meanwhile.
            pause = min(2 * pause, _MOST_PAUSE)
            _LOG.warning("engine or storage is away, looking again in %.0f s: %s", pause, error)
        if once:
            return
        time.sleep(pause)


def _sweep() -> None:
    settings = Settings.load()
    for lake in settings.lake_names:
        with LakeSession(settings) as session:
            for folder in sweep(session, lake, older_than_seconds=0.0):
                _LOG.info("removed staged files %s", folder)
