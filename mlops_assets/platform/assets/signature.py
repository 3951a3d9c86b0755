"""Signatures: what an asset's function asks for by its parameters, and the function that Dagster runs instead of it.

Put here how Dagster is brought to give what it has (config, resources, plain inputs). Keep out what we give by name
(``step``) and the other parameters of an asset (``asset``).
"""

from __future__ import annotations

import builtins
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

import dagster as dg
from dagster._core.definitions.resource_annotation import get_resource_args

from mlops_assets.platform.assets.step import INJECTED, Step, run
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake.frames import is_frame

# Under TYPE_CHECKING alone these names are not there at run time, and mean what an input is anyhow.
_IBIS: Final = frozenset({"ir.Table", "ibis.Table", "ibis.expr.types.Table", "Table"})


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


def require_plain(source: str, function: Callable[..., Any]) -> None:
    """Refuse a function that does not return its rows when it is called.

    Raises:
        ContractError: it is a coroutine or yields.
    """
    # What a decorator wraps is the decorator's business.
    called = (
        function if inspect.isroutine(function) or isinstance(function, functools.partial) else type(function).__call__
    )
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise ContractError(
            source=source, culprit="its function is async.", remedy="Write def, and run what is async by asyncio.run."
        )
    if inspect.isgeneratorfunction(called):
        raise ContractError(
            source=source,
            culprit="its function yields.",
            remedy="Return the rows, or dg.MaterializeResult with value=, metadata= and check_results=.",
        )


def frame_kind(source: str, function: Callable[..., Any], name: str) -> object:
    """The class that an input is wanted as.

    Raises:
        ContractError: it is annotated with something that no input can be.
    """
    kind = _bare(annotation(function, name))
    parameter = inspect.signature(function).parameters.get(name)
    said = parameter.annotation if parameter is not None else inspect.Parameter.empty
    if kind is inspect.Parameter.empty:
        fits = not isinstance(said, str) or said in _IBIS
        remedy = "Import its class at run time, not under TYPE_CHECKING."
    else:
        fits = kind is Any or kind is object or is_frame(kind)
        remedy = "Annotate it with the Table of Ibis or Arrow, the DataFrame of pandas or Polars, or Polars' LazyFrame."
    if not fits:
        raise ContractError(
            source=source,
            culprit=f"its input {name} is annotated {_worded(said)}, which is not known as a frame.",
            remedy=remedy,
        )
    return kind


def _bare(kind: object) -> object:
    """The class that is meant where it is optional, annotated with more, or the bound of a type variable."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if isinstance(kind, TypeVar) and not kind.__constraints__:
        return Any if kind.__bound__ is None else _bare(kind.__bound__)
    if get_origin(kind) in {Union, UnionType}:
        named = [each for each in get_args(kind) if each is not type(None)]
        return _bare(named[0]) if len(named) == 1 else kind
    return kind


def _worded(said: object) -> str:
    return said if isinstance(said, str) else getattr(said, "__qualname__", repr(said))


def annotation(function: Callable[..., Any], name: str) -> object:
    """What a parameter's annotation means; none, if there is no such parameter, or it names what is not there."""
    parameter = inspect.signature(function).parameters.get(name)
    said: object = inspect.Parameter.empty if parameter is None else parameter.annotation
    while isinstance(function, functools.partial):
        function = function.func
    module = inspect.getmodule(function) or inspect.getmodule(type(function)) or builtins
    try:
        # As Dagster does with the annotations of its own decorator; quoted ones are texts of texts.
        while isinstance(said, str):
            said = eval(said, vars(module))  # noqa: S307
    except (NameError, AttributeError, SyntaxError, TypeError):
        return inspect.Parameter.empty
    return said
