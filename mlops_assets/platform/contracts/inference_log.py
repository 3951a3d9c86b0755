"""The tables of the inference log: what a served model answered, and what came of it.

Put here the two tables, which one pipeline fills and another reads. Keep out how the service writes its files, and what
is measured of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import dagster as dg
import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.volume import ANY_VOLUME
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.identifiers import is_identifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.platform.contracts.lake import Lake

DATE: Final = "date"
"""The column, and the dimension of the partitions, of days (UTC)."""
_ID: Final = r"^[A-Za-z0-9_-]{8,64}$"
_DAY: Final = r"^\d{4}-\d{2}-\d{2}$"


class Answer(pa.DataFrameModel):
    """One row for each score that was given for a row of a request, or made in its shadow."""

    date: dt.String = pa.Field(nullable=False, str_matches=_DAY, description="When it was answered (UTC).")
    request_id: dt.String = pa.Field(nullable=False, str_matches=_ID)
    row: dt.Int64 = pa.Field(nullable=False, ge=0, description="Place in the request, from 0.")
    model_version: dt.String = pa.Field(nullable=False, description="SHA-256 of the model's file.")
    way: dt.String = pa.Field(nullable=False, isin=["answered", "shadow"])
    score: dt.Float64 = pa.Field(nullable=True)
    principal: dt.String = pa.Field(nullable=False, description="The application that asked, whose answer it is.")
    answered: dt.Timestamp(timezone="UTC") = pa.Field(nullable=False)  # type: ignore[valid-type]  # pandera's way


class ReportedOutcome(pa.DataFrameModel):
    """One row for each outcome that an application reported of a scored row."""

    date: dt.String = pa.Field(nullable=False, str_matches=_DAY, description="When it was reported (UTC).")
    request_id: dt.String = pa.Field(nullable=False, str_matches=_ID)
    row: dt.Int64 = pa.Field(nullable=False, ge=0, description="Place in the request, from 0.")
    outcome: dt.Float64 = pa.Field(nullable=False, description="What is true or false is 1 or 0.")
    observed: dt.Timestamp(timezone="UTC") = pa.Field(  # type: ignore[valid-type]  # pandera's way
        nullable=False, description="Since when it is known; of two of one row the later one counts."
    )
    principal: dt.String = pa.Field(nullable=False, description="The application that reported it.")
    reported: dt.Timestamp(timezone="UTC") = pa.Field(nullable=False)  # type: ignore[valid-type]  # pandera's way


def answers(model: str, lake: Lake, *, since: str, owners: Sequence[str], replica: str = "") -> Contract:
    """The table ``raw/<model>_answers``: what a model answered, by day.

    Args:
        model: the model's name.
        lake: where it lies.
        since: the first day.
        owners: whom it concerns.
        replica: of the service, whose name the table's ends with; none where there is one alone.

    Raises:
        ContractError: the model's or the replica's name could not be a table's.
    """
    told = f"What the served model {model} answered."
    return _logged(_Kind("answers", Answer, told), model, replica, lake=lake, since=since, owners=owners)


def outcomes(model: str, lake: Lake, *, since: str, owners: Sequence[str], replica: str = "") -> Contract:
    """The table ``raw/<model>_outcomes``: what applications reported of a model's answers, by day of the report.

    Args:
        model: the model's name.
        lake: where it lies.
        since: the first day.
        owners: whom it concerns.
        replica: of the service, whose name the table's ends with; none where there is one alone.

    Raises:
        ContractError: the model's or the replica's name could not be a table's.
    """
    told = f"What came of the answers of the served model {model}, as applications reported it."
    return _logged(_Kind("outcomes", ReportedOutcome, told), model, replica, lake=lake, since=since, owners=owners)


class _Kind(NamedTuple):
    name: str
    schema: type[pa.DataFrameModel]
    description: str


def _logged(kind: _Kind, model: str, replica: str, *, lake: Lake, since: str, owners: Sequence[str]) -> Contract:
    for name, what in ((model, "a model that takes outcomes"), (replica or "a", "a replica")):
        if not is_identifier(name):
            raise ContractError(
                source=f"Inference log of {name!r:.60}",
                culprit=f"{what} is not called so.",
                remedy="Name it by lower-case letters, digits and underscores; a model as it is called itself.",
            )
    return Contract(
        layer="raw",
        table="_".join(filter(None, (model, kind.name, replica))),
        model=kind.schema,
        lake=lake,
        description=f"{kind.description[:-1]}, of the service's replica {replica}." if replica else kind.description,
        owners=list(owners),
        partitions_def=dg.DailyPartitionsDefinition(since),
        partition_columns={DATE: DATE},
        # How much is asked is the clients' business.
        volume=ANY_VOLUME,
    )
