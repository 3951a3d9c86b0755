"""Options as YAML says them: one of several kinds, told apart by ``type``, and texts that stay what they are.

Put here how such an option is resolved. Keep out the kinds, and what a text means.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import dagster as dg
from pydantic import AfterValidator, ValidationError

from mlops_assets.platform.errors import ContractError

if TYPE_CHECKING:
    from pydantic import BaseModel

VARIABLE: Final = re.compile(r"\{\{\s*env\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
"""How a text names an environment variable; it is read when the source is asked."""

_TEMPLATE: Final = "{{"


def at_least(least: float, most: float = float("inf")) -> AfterValidator:
    """The least that a number may be, and the most."""
    return _bounds(lambda number: least <= number <= most, f"at least {least:g}", most)


def above(limit: float, most: float = float("inf")) -> AfterValidator:
    """What a number must be more than, and the most that it may be."""
    return _bounds(lambda number: limit < number <= most, f"more than {limit:g}", most)


def _bounds(fits: Callable[[float], bool], should_be: str, most: float) -> AfterValidator:
    # Dagster's model of YAML takes a text too, on which pydantic's own bounds raise TypeError.
    def within(number: Any) -> Any:  # noqa: ANN401  a number, a template of one, or none
        if isinstance(number, int | float) and not fits(number):
            up_to = "" if most == float("inf") else f", and at most {most:g}"
            raise ValueError(f"it should be {should_be}{up_to}")
        return number

    return AfterValidator(within)


def one_of(*kinds: type[BaseModel]) -> dg.Resolver:
    """The resolver of an option: what is wrong is told of the kind that was named, and not of every other one.

    Args:
        kinds: Dagster's resolvable models, each with a field ``type`` whose default is its name.
    """
    by_name: Mapping[str, Any] = {kind.model_fields["type"].default: kind for kind in kinds}
    known = ", ".join(by_name)

    def resolve(context: dg.ResolutionContext, value: Any) -> Any:  # noqa: ANN401  of a YAML document
        if not isinstance(value, dict):
            found = context.resolve_value(value)
            if isinstance(found, (*kinds, type(None))):
                return found
            raise ContractError(
                source="An option that has parts",
                culprit="it is a text.",
                remedy=f"Write its type ({known}) and parts.",
            )
        name = str(value.get("type"))
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=1)
            raise ContractError(
                source=f"Option with type: {name}",
                culprit=f"there is no such type here, but {known}.",
                remedy=f"Did you mean {near[0]}?" if near else "Name one of them.",
            )
        kind = by_name[name]
        try:
            return kind.resolve_from_model(context, kind.model()(**value))
        except ValidationError as error:
            # What stands there is not repeated: it may be a secret in the wrong place.
            wrong = error.errors(include_url=False, include_input=False, include_context=False)
            told = "; ".join(f"{'.'.join(map(str, each['loc'][:1]))}: {each['msg']}" for each in wrong)
        except AttributeError:
            told = "a part of it that has parts itself is a text"
        raise ContractError(
            source=f"Option with type: {name}",
            culprit=f"{told}.",
            remedy="Its parts are in docs/sources.md; a secret is {file: name} or {env: NAME}.",
        )

    return dg.Resolver(resolve, model_field_type=dict[str, Any], description=f"One of {known}, by its type.")


def _text(context: dg.ResolutionContext, value: Any) -> Any:  # noqa: ANN401  of a YAML document
    """A text as it stands, where Dagster would make a number of ``"100"``; variables are read when they are needed."""
    if not isinstance(value, str):
        return value if value is None else str(value)
    if _TEMPLATE not in VARIABLE.sub("", value):
        return value
    return context.resolve_value(value)


def _texts(context: dg.ResolutionContext, value: Any) -> Any:  # noqa: ANN401  of a YAML document
    if isinstance(value, Mapping):
        return {name: _text(context, each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_text(context, each) for each in value]
    return context.resolve_value(value)


AS_IT_STANDS: Final = dg.Resolver(_text, model_field_type=str | int | float | None, inject_before_resolve=False)
"""Of an option that is a text."""

Word = Annotated[str | None, AS_IT_STANDS]
Words = Annotated[
    Sequence[str], dg.Resolver(_texts, model_field_type=list[str | int | float], inject_before_resolve=False)
]
Texts = Annotated[
    Mapping[str, str], dg.Resolver(_texts, model_field_type=dict[str, str | int | float], inject_before_resolve=False)
]
