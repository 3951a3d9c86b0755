"""The run launcher: Dagster's own for Docker, with limits that runs choose by tags under a ceiling.

Put here what is decided when a run's container is made. Keep out what happens to the container afterwards (the reaper)
and what the Docker engine may be asked at all (the policy proxy).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dagster import Field, StringSource
from dagster_docker import DockerRunLauncher

from mlops_assets.deployment.run_limits import RunLimits, limits_of_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import DagsterRun
    from dagster._serdes import ConfigurableClassData
    from dagster_docker.container_context import DockerContainerContext

DEPLOYMENT_LABEL: Final = "mlops_assets/deployment"
"""Label of every run container: the deployment it belongs to, so that several can share an engine."""

_LIMITS: Final = {"memory": Field(str), "cpus": Field(float), "pids": Field(int)}


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
