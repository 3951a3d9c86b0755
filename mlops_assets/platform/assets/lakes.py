"""Lakes in runs: the lake resources that a step uses.

Put here how a declared lake is found among a run's resources. Keep out the declaration (``contracts.lake``).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import dagster as dg
from dagster._config.pythonic_config.resource import ConfigurableResourceFactoryResourceDefinition
from dagster._core.execution.context.system import StepExecutionContext

from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.errors import ContractError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def lakes_of(context: dg.AssetExecutionContext | StepExecutionContext, declared: Iterable[Lake]) -> list[Lake]:
    """Those lakes with every variable replaced by its value.

    A resource of the run with a lake's name, if it is a lake, takes the place of the declared one: so a test, a
    deployment or the run's config names another place as it does with any resource.

    Raises:
        ContractError: two of the tables declare the lake otherwise.
        SettingsError: a variable is not set, or the resource cannot be used or is another lake.
    """
    lakes = sorted(set(declared), key=str)
    if twice := [one.name for one, other in itertools.pairwise(lakes) if one.name == other.name]:
        raise ContractError(
            source=f"Lake {twice[0]}",
            culprit="two tables of the step declare it otherwise.",
            remedy="Declare it once, and name that everywhere.",
        )
    step = context if isinstance(context, StepExecutionContext) else context.get_step_execution_context()
    config: Mapping[str, object] = dict(step.dagster_run.run_config).get("resources", {})
    return [
        _built(lake, resource, config, step.instance)
        if (resource := _replacing(lake, step.job_def.resource_defs))
        else initialised(lake)
        for lake in lakes
    ]


def initialised(lake: Lake) -> Lake:
    """The lake with every variable replaced by its value.

    Not ``process_config_and_initialize``, which opens an ephemeral instance that it leaves to be collected.

    Raises:
        SettingsError: a variable is not set.
    """
    values = {name: value.get_value() if isinstance(value, dg.EnvVar) else value for name, value in lake}
    for name, declared in lake:
        if isinstance(declared, dg.EnvVar) and values[name] is None:
            raise SettingsError(
                source=f"Lake {lake}",
                culprit=f"the variable {declared.env_var_name} is not set.",
                remedy="Set it where the run is started.",
            )
    return lake.model_copy(update=values)


def _replacing(lake: Lake, resources: Mapping[str, dg.ResourceDefinition]) -> dg.ResourceDefinition | None:
    """The resource that takes the place of the lake, if there is one."""
    resource = resources.get(lake.name)
    is_lake = isinstance(resource, ConfigurableResourceFactoryResourceDefinition) and issubclass(
        resource.configurable_resource_cls, Lake
    )
    # As declared it needs no building, which takes Dagster longer.
    return resource if is_lake and resource is not lake.get_resource_definition() else None


def _built(
    lake: Lake, resource: dg.ResourceDefinition, config: Mapping[str, object], instance: dg.DagsterInstance
) -> Lake:
    chosen = {name: each for name, each in config.items() if name == lake.name}
    try:
        with dg.build_resources({lake.name: resource}, instance=instance, resource_config=chosen) as built:
            found: Lake = built._asdict()[lake.name]
    except dg.DagsterError as error:
        raise SettingsError(
            source=f"Lake {lake}",
            culprit=f"the resource of that name cannot be used ({type(error).__name__}).",
            remedy="Look whether the variables and the run's config that it names are set.",
        ) from error
    if (found.name, found.personal) != (lake.name, lake.personal):
        raise SettingsError(
            source=f"Lake {lake}",
            culprit=f"the resource of that name is {found.name} with personal={found.personal}, "
            f"and it is declared with personal={lake.personal}.",
            remedy="A resource says where a lake is, not what: give it the name and personal that are declared.",
        )
    return found
