"""Arguments: what is given to a declaration, and is of another kind than it asks for.

Put here the refusal. Keep out what an argument means (``names``, and each declaration itself).
"""

from __future__ import annotations

import functools
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from mlops_assets.platform.errors import ContractError

_LONGEST = 60


def require(source: str, option: str, value: object, kind: Any, remedy: str) -> None:  # noqa: ANN401  any annotation
    """Refuse a value that is not of that kind.

    Args:
        source: what is declared, for messages.
        option: the argument's name.
        value: what was given.
        kind: the annotation that it must fit: ``int`` is no ``bool``, and a text is no sequence of texts.
        remedy: what to give instead.

    Raises:
        ContractError: it does not fit.
    """
    try:
        _adapter(kind).validate_python((value,))
    except ValidationError:
        raise ContractError(
            source=source, culprit=f"its {option} is {repr(value)[:_LONGEST]}.", remedy=remedy
        ) from None


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401  any annotation
    # In a tuple, because of a dataclass alone pydantic takes no configuration.
    return TypeAdapter(tuple[kind], config=ConfigDict(strict=True, arbitrary_types_allowed=True))
