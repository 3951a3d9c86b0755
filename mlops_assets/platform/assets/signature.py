"""Signatures: what an asset's function asks for by its parameters, and the function that Dagster runs instead of it.

Put here how Dagster is brought to give what it has (config, resources, plain inputs). Keep out what we give by name
(``step``) and the other parameters of an asset (``asset``).
"""

from __future__ import annotations

import builtins
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.resource_annotation import get_resource_args

from mlops_assets.platform.assets.step import INJECTED, Step, run
from mlops_assets.platform.errors import ContractError


def computed(source: str, step: Step, passed_on: Mapping[str, dg.AssetIn]) -> Callable[..., Iterator[Any]]:
    """The function that Dagster runs, with the signature that makes it give config, resources and plain inputs.

    Raises:
        ContractError: a parameter is nothing that the function could be given.
    """
    wanted = inspect.signature(step.function).parameters
    asked = {
        # Dagster looks for inputs among positional parameters alone, and none of these is ever left out.
        name: inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            annotation=annotation(step.function, name),
        )
        for name in wanted
        if name not in step.ins
    }

    def compute(context: dg.AssetExecutionContext, **given: object) -> Iterator[Any]:
        yield from run(step, context, given)

    functools.update_wrapper(compute, step.function, assigned=("__name__", "__doc__", "__module__"), updated=())
    # Dagster would read the signature of the wrapped function through it.
    vars(compute).pop("__wrapped__", None)
    vars(compute)["__signature__"] = inspect.Signature(list(asked.values()))
    resources = {parameter.name for parameter in get_resource_args(compute)}
    if taken := sorted(INJECTED & {*resources, *step.ins, *passed_on}):
        raise ContractError(
            source=source,
            culprit=f"its parameters {', '.join(taken)} are inputs or resources; the platform gives others so called.",
            remedy="Call them otherwise.",
        )
    further = [parameter for name, parameter in asked.items() if name not in INJECTED]
    own = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=dg.AssetExecutionContext)
    vars(compute)["__signature__"] = inspect.Signature([own, *further], return_annotation=Iterator[Any])
    unknown = {parameter.name for parameter in further} - resources - set(passed_on) - {"config"}
    if unknown:
        raise ContractError(
            source=source,
            culprit=f"its parameters {', '.join(sorted(unknown))} are neither inputs nor resources.",
            remedy=f"Declare them in ins, annotate them with a resource's class (imported at run time), or use one of "
            f"{', '.join(sorted(INJECTED))}, config.",
        )
    unread = sorted(set(step.ins) - set(wanted))
    if unread:
        raise ContractError(
            source=source,
            culprit=f"its inputs {', '.join(unread)} are no parameters of the function.",
            remedy="Add the parameters, or name assets that must only come before in deps.",
        )
    return compute


def annotation(function: Callable[..., Any], name: str) -> object:
    """What a parameter's annotation means; none, if there is no such parameter, or it names what is not there."""
    parameter = inspect.signature(function).parameters.get(name)
    said: object = inspect.Parameter.empty if parameter is None else parameter.annotation
    if not isinstance(said, str):
        return said
    try:
        # As Dagster does with the annotations of its own decorator.
        return eval(said, vars(inspect.getmodule(function) or builtins))  # noqa: S307
    except (NameError, AttributeError):
        return inspect.Parameter.empty
