"""Lakes in runs: the lake resources that a step uses.

Put here how a declared lake is found among a run's resources. Keep out the declaration (``contracts.lake``).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import dagster as dg
from dagster._config.pythonic_config.resource import ConfigurableResourceFactoryResourceDefinition

from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def lakes_of(context: dg.AssetExecutionContext, declared: Iterable[Lake]) -> list[Lake]:
    """Those lakes with every variable replaced by its value.

    A resource of the run with a lake's name, if it is a lake, takes the place of the declared one: so a test or a
    deployment names another place as it does with any resource.
    """
    return initialised(context.job_def.resource_defs, declared, context.instance)


def initialised(
    resources: Mapping[str, dg.ResourceDefinition], declared: Iterable[Lake], instance: dg.DagsterInstance
) -> list[Lake]:
    """Those lakes, or the resources of their names, with every variable replaced by its value.

    Raises:
        SettingsError: a variable is not set.
    """
    by_name = {lake.name: lake for lake in declared}
    return [_initialised(by_name[name], resources.get(name), instance) for name in sorted(by_name)]


def _initialised(lake: Lake, resource: dg.ResourceDefinition | None, instance: dg.DagsterInstance) -> Lake:
    replaced = (
        isinstance(resource, ConfigurableResourceFactoryResourceDefinition)
        and issubclass(resource.configurable_resource_cls, Lake)
        and resource is not lake.get_resource_definition()
    )
    try:
        if not replaced:
            # Not ``process_config_and_initialize``: it opens an ephemeral instance that it leaves to be collected.
            return lake.model_copy(update={name: _value(value) for name, value in lake})
        with dg.build_resources({lake.name: resource}, instance=instance) as built:
            return built._asdict()[lake.name]  # type: ignore[no-any-return]
    except (dg.DagsterError, KeyError) as error:
        unset = [value.env_var_name for _, value in lake if isinstance(value, dg.EnvVar) and value.get_value() is None]
        raise SettingsError(
            source=f"Lake {lake}",
            culprit=f"the variable {unset[0]} is not set." if unset else "its configuration cannot be used.",
            remedy="Set it where the run is started." if unset else "Correct the resource of that name.",
        ) from error


def _value(declared: object) -> object:
    return os.environ[declared.env_var_name] if isinstance(declared, dg.EnvVar) else declared
