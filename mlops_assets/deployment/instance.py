"""What ``dagster.yaml`` names: a deployment's parts where its variables are set, else those of the embedded instance.

Put here the choice, part by part. Keep out the parts themselves: ``storage`` and ``run_launcher`` hold a deployment's,
``platform/embedded_storage.py`` and Dagster the others.

Dagster has one file for an instance, and no conditions in it. ``dagster dev`` must open in a fresh checkout, where
nothing is set, by the very file from which a deployment gets its containers. So the file names these classes, with a
deployment's configuration, and each makes the part that the environment calls for.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from dagster._core.launcher import RunLauncher
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.compute_log_manager import ComputeLogManager
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES: Final = ("MLOPS_ASSETS_PG_URL", "MLOPS_ASSETS_DEPLOYMENT", "MLOPS_ASSETS_RUN_NETWORK")
"""Where any of them is set there is a deployment; Dagster then names those that are missing."""


def is_deployment() -> bool:
    """Whether the environment is that of a deployment."""
    return any(os.environ.get(name) for name in VARIABLES)


def embedded_folder() -> Path:
    """The folder of the embedded instance: ``DAGSTER_HOME``, else ``dagster`` in the home folder."""
    return Path(os.environ.get("DAGSTER_HOME") or Settings.load().home / "dagster").absolute()


class _Part(ConfigurableClass):
    """A part of the instance that is never made itself: in its place comes that of a deployment or the embedded one."""

    _deployment: ClassVar[tuple[str, str]]
    """Module and class, which read what the file says."""
    _embedded: ClassVar[tuple[str, str]]
    """Likewise; what the file says is not for them."""

    @classmethod
    def config_type(cls) -> Any:  # noqa: ANN401  Dagster's types of configuration have no common one
        """Whatever the file says: the part that is made looks at it."""
        return dict

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Any:  # noqa: ANN401, ARG003
        """The part that the environment calls for."""
        (module, name), config = (
            (cls._deployment, config_value) if is_deployment() else (cls._embedded, cls._embedded_config())
        )
        return ConfigurableClassData(module, name, json.dumps(config)).rehydrate()

    @classmethod
    def _embedded_config(cls) -> Mapping[str, Any]:
        return {}


class Storage(_Part, DagsterStorage):
    """Runs and events: in PostgreSQL, or in SQLite files in the home folder."""

    _deployment = ("mlops_assets.deployment.storage", "KeptPostgresStorage")
    _embedded = ("mlops_assets.platform.assets.embedded_storage", "KeptSqliteStorage")

    @classmethod
    def _embedded_config(cls) -> Mapping[str, Any]:
        return {"base_dir": str(embedded_folder())}


class Launcher(_Part, RunLauncher):
    """A fresh container for every run, or a process."""

    _deployment = ("mlops_assets.deployment.run_launcher", "PhoenixRunLauncher")
    _embedded = ("dagster", "DefaultRunLauncher")


class ComputeLogs(_Part, ComputeLogManager[Any]):
    """What steps print: in the container's own log alone, or in files in the home folder."""

    _deployment = ("dagster._core.storage.noop_compute_log_manager", "NoOpComputeLogManager")
    _embedded = ("dagster._core.storage.local_compute_log_manager", "LocalComputeLogManager")

    @classmethod
    def _embedded_config(cls) -> Mapping[str, Any]:
        return {"base_dir": str(embedded_folder() / "storage")}
