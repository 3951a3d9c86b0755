"""Parameters that several routes take: their patterns, descriptions and examples.

Put here a parameter with one meaning everywhere. Keep out bodies. Annotations are read at run time, so they are not
postponed.
"""

import re
from typing import Annotated, Final

from litestar.openapi.spec import Example
from litestar.params import PathParameter

from mlops_assets.serving.exports.values import INSTANT

AS_OF: Final = re.compile(f"[0-9a-f]{{32}}|{INSTANT}")
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
