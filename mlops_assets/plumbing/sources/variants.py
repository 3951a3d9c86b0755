"""Options that are one of several kinds, which YAML tells apart by ``type``.

Put here how such an option is resolved. Keep out the kinds.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.platform.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel


def one_of(*kinds: type[BaseModel]) -> dg.Resolver:
    """The resolver of an option: what is wrong is told of the kind that was named, and not of every other one.

    Args:
        kinds: Dagster's resolvable models, each with a field ``type`` whose default is its name.
    """
    by_name: Mapping[str, Any] = {kind.model_fields["type"].default: kind for kind in kinds}

    def resolve(context: dg.ResolutionContext, value: Any) -> Any:  # noqa: ANN401  of a YAML document
        if not isinstance(value, dict):
            return context.resolve_value(value)
        name = str(value.get("type"))
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=1)
            raise ContractError(
                source=f"Option with type: {name}",
                culprit=f"there is no such type here, but {', '.join(by_name)}.",
                remedy=f"Did you mean {near[0]}?" if near else "Name one of them.",
            )
        kind = by_name[name]
        return kind.resolve_from_model(context, kind.model()(**value))

    schema = {"anyOf": [kind.model_json_schema() for kind in kinds]}
    return dg.Resolver(resolve, model_field_type=dict[str, Any], json_schema_extra=schema)
