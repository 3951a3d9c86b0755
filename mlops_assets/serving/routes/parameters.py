"""Parameters that several routes take: their patterns, descriptions and examples.

Put here a parameter with one meaning everywhere. Keep out bodies. Annotations are read at run time, so they are not
postponed.
"""

import re
from typing import Annotated, Final

from litestar.openapi.spec import Example
from litestar.params import PathParameter

_DAY: Final = "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-9]))"
_TIME: Final = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"

MOMENT: Final = f"[12][0-9]{{3}}-{_DAY}T{_TIME}"
"""A time with its zone, as text."""
AS_OF: Final = re.compile(f"[0-9a-f]{{32}}|{MOMENT}")
"""A past version: the id of a kept export, or a time with its zone."""
CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{1,8000}")
"""The place where a page ended."""
ModelName = Annotated[
    str,
    PathParameter(description="Name of a model that `/v1/models` lists.", examples=[Example(value="churn")]),
]
ModelVersion = Annotated[
    str | None,
    PathParameter(description="Version of the model: SHA-256 of its file. Without it, the latest."),
]
