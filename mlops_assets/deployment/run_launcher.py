"""The run launcher: Dagster's own for Docker, with limits that runs choose by tags under a ceiling.

Put here what is decided when a run's container is made. Keep out what happens to the container afterwards (the reaper)
and what the Docker engine may be asked at all (the policy proxy).
"""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import docker.errors
from dagster import DagsterEventType, Field, StringSource
from dagster_docker import DockerRunLauncher

from mlops_assets.deployment.containers import RUN_LABEL
from mlops_assets.deployment.run_limits import RunLimits, limits_of_run
from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import DagsterRun
    from dagster._core.launcher import LaunchRunContext
    from dagster._serdes import ConfigurableClassData
    from dagster_docker.container_context import DockerContainerContext
    from docker.models.containers import Container

DEPLOYMENT_LABEL: Final = "mlops_assets/deployment"
"""Label of every run container: the deployment it belongs to, so that several can share an engine."""

_LIMITS: Final = {"memory": Field(str), "cpus": Field(float), "pids": Field(int)}


class LaunchError(PlatformError):
    """A run's container could not be made or started."""


class PhoenixRunLauncher(DockerRunLauncher):
    """Launches every run in a fresh, hardened container.

    What hardens a container stands in its configuration (``container_kwargs``); a code location adds the mounts and
    secrets that its own runs need, and cannot take away what is set here.
    """

    def __init__(
        self,
        *,
        deployment: str,
        limits: Mapping[str, Any],
        ceiling: Mapping[str, Any],
        inst_data: ConfigurableClassData | None = None,
        **config: Any,  # noqa: ANN401  the configuration of Dagster's launcher
    ) -> None:
        """Check the limits once, so that a wrong one shows at start and not at the first run.

        Raises:
            RunLimitError: a limit cannot be read, or the usual ones exceed the ceiling.
        """
        super().__init__(inst_data=inst_data, **config)
        self._deployment = deployment
        self._ceiling = RunLimits.parse(ceiling, "Setting run_launcher.ceiling")
        self._usual = limits_of_run({}, RunLimits.parse(limits, "Setting run_launcher.limits"), self._ceiling)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The configuration of Dagster's launcher, and the limits."""
        return {
            **super().config_type(),  # type: ignore[no-untyped-call]  # dagster-docker publishes no types
            "deployment": Field(StringSource, description="Name of this deployment; a label of its run containers."),
            "limits": Field(_LIMITS, description="Limits of a run whose tags ask for none."),
            "ceiling": Field(_LIMITS, description="Limits that no run may exceed."),
        }

    def launch_run(self, context: LaunchRunContext) -> None:
        """Make and start the run's container.

        A run that has one already, made by another daemon, is left alone. A run that was canceled meanwhile gets none:
        Dagster would forget the cancel as the run starts.

        Raises:
            LaunchError: the container cannot be made or started; the text says what is missing.
            RunLimitError: a tag of the run asks for a limit that cannot be given.
        """
        if self._is_canceling(context.dagster_run):
            self._instance.report_run_canceled(
                context.dagster_run, message="The run was canceled before it had a container."
            )
            return
        try:
            super().launch_run(context)
        except docker.errors.DockerException as error:
            if isinstance(error, docker.errors.APIError) and error.status_code == HTTPStatus.CONFLICT:
                # The policy proxy names containers after their runs, and the engine keeps names apart.
                self._instance.report_engine_event(
                    "The run has a container already: it was launched twice, and this launch does nothing.",
                    dagster_run=context.dagster_run,
                    cls=type(self),
                )
                return
            raise _explained(error) from error
        if self._is_canceling(context.dagster_run):
            # Whoever canceled it a moment ago found no container to stop.
            self.terminate(context.dagster_run.run_id)  # type: ignore[no-untyped-call]  # dagster-docker has no types

    def _is_canceling(self, run: DagsterRun) -> bool:
        # Not by the run's state: launching has just set it to starting, whatever it was.
        return bool(self._instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_CANCELING))

    def _get_container(self, run: DagsterRun | None) -> Container | None:
        # Dagster looks for the container that the run's tags name; what names it in the engine is its label.
        container = super()._get_container(run)  # type: ignore[no-untyped-call]  # dagster-docker has no types
        if container is None or run is None or container.labels.get(RUN_LABEL) != run.run_id:
            return None
        return container

    def get_container_context(self, dagster_run: DagsterRun) -> DockerContainerContext:
        """What the run's container is made with.

        Raises:
            RunLimitError: a tag of the run asks for a limit that cannot be given.
        """
        context = super().get_container_context(dagster_run)
        limits = limits_of_run(dagster_run.tags, self._usual, self._ceiling)
        labels = {**context.container_kwargs.get("labels", {}), DEPLOYMENT_LABEL: self._deployment}
        # What is configured here comes last: a code location cannot loosen it.
        kwargs = {**context.container_kwargs, **self.container_kwargs, **limits.container_kwargs(), "labels": labels}
        own = self.container_kwargs.get("volumes", [])
        added = [volume for volume in context.container_kwargs.get("volumes", []) if volume not in own]
        return context._replace(container_kwargs={**kwargs, "volumes": [*own, *added]})


def _explained(error: docker.errors.DockerException) -> LaunchError:
    """What the engine, its client or the policy proxy says, with what to do about it."""
    if not isinstance(error, docker.errors.APIError):
        return LaunchError(
            source=f"Docker engine at {os.environ.get('DOCKER_HOST', 'its usual socket')}",
            culprit=f"it does not answer ({error}).",
            remedy="Do the policy proxy and the engine run? Launch the run again when they do.",
        )
    missing = _during(error, docker.errors.ImageNotFound)
    if missing is not None:
        return LaunchError(
            source="Run container",
            culprit=f"its image is not on this machine ({missing.explanation}).",
            remedy="Build or pull it: make image. The deployment's policy lets no run pull images.",
        )
    remedies = {
        HTTPStatus.FORBIDDEN: "deploy/docker-policy.json says what a run container may have.",
        HTTPStatus.NOT_FOUND: "make up makes the networks and volumes of the deployment.",
        HTTPStatus.SERVICE_UNAVAILABLE: "Does the engine run? Launch the run again when it does.",
    }
    return LaunchError(
        source="Run container",
        culprit=f"it cannot be made or started ({error.explanation}).",
        remedy=remedies.get(error.status_code, "The engine's own log may say more."),
    )


def _during(error: BaseException | None, kind: type[docker.errors.APIError]) -> docker.errors.APIError | None:
    """The error of a kind during whose handling another one came up."""
    while error is not None and not isinstance(error, kind):
        error = error.__context__
    return error
