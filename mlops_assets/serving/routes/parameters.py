"""Parameters that several routes take: their patterns, descriptions and examples.

Put here a parameter with one meaning everywhere. Keep out bodies. Annotations are read at run time, so they are not
postponed.
"""

from typing import Annotated, Final, Literal

from litestar.openapi.spec import Example
from litestar.params import HeaderParameter, PathParameter, QueryParameter

_DAY: Final = "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-9]))"
_TIME: Final = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"

# At the end of a text, the ``$`` of a pattern lets a line feed pass; hence the lengths.
Measure = Literal["turnout", "total_votes", "democratic_share"]
ElectionFilter = Annotated[
    str | None,
    QueryParameter(
        pattern=r"^[0-9]{4}$",
        max_length=4,
        description="Year of a general election.",
        examples=[Example(value="2024")],
    ),
]
# The framework keeps the name ``state`` of an argument for itself, hence ``state_code``.
StateFilter = Annotated[
    str | None,
    QueryParameter(
        name="state",
        pattern=r"^[A-Z]{2}$",
        max_length=2,
        description="Postal code of a state.",
        examples=[Example(value="NC")],
    ),
]
DistrictFilter = Annotated[
    str | None,
    QueryParameter(
        pattern=r"^[0-9]{2}$", max_length=2, description="District, two digits.", examples=[Example(value="12")]
    ),
]
MeasureFilter = Annotated[
    Measure | None, QueryParameter(description="What is predicted.", examples=[Example(value="turnout")])
]
Cursor = Annotated[
    str | None, QueryParameter(pattern=r"^[A-Za-z0-9_-]{1,200}$", description="The last page's `next_cursor`.")
]
StatePath = Annotated[
    str,
    PathParameter(
        pattern=r"^[A-Z]{2}$", max_length=2, description="Postal code of the state.", examples=[Example(value="NC")]
    ),
]
DistrictPath = Annotated[
    str,
    PathParameter(
        pattern=r"^[0-9]{2}$", max_length=2, description="District number, two digits.", examples=[Example(value="12")]
    ),
]
AsOf = Annotated[
    str | None,
    QueryParameter(
        pattern=f"^([0-9a-f]{{32}}|[12][0-9]{{3}}-{_DAY}T{_TIME})$",
        description=(
            "A past version: the id of a kept export, or a time with its zone (RFC 3339; write + as %2B), which stands "
            "for the export that was current then. Without it, the current export answers."
        ),
        examples=[Example(value="2024-11-05T12:00:00Z")],
    ),
]
ModelName = Annotated[
    str,
    PathParameter(description="Name of a model that `/v1/models` lists.", examples=[Example(value="district_votes")]),
]
ModelVersion = Annotated[
    str | None,
    PathParameter(description="Version of the model: SHA-256 of its file. Without it, the latest."),
]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        pattern=r"^[A-Za-z0-9_-]{8,64}$",
        description="Chosen by the client for one request; sent again within ten minutes, it gets the first answer.",
    ),
]
