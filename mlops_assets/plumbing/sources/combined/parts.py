"""Parts of a combined table: which tables it is made of, and what is special of each.

Put here what is said of one of them, and how YAML says it. Keep out what is said of them all (``combined``).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

import dagster as dg
from pydantic import InstanceOf, ValidationError, model_validator

from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.identifiers import is_identifier
from mlops_assets.plumbing.sources.variants import Texts, Words

_LAYER_AND_TABLE: Final = 2


class Part(dg.Model, dg.Resolvable):
    """A table that is combined with others.

    Attributes:
        table: its key (``raw/orders``), or its contract where another code location makes it (Python).
        columns: for columns of the combined table that it calls otherwise, its name: ``{order_id: OrderNo}``.
        without: its columns that the combined table does not take.
        optional: that it may lack a partition, which the others make then.
        name: what the column of origin says of its rows; its key if not given.

    Example:
        >>> import mlops_assets as ma
        >>> files = ma.Part(table="raw/orders_files", columns={"order_id": "order_no"}, without=["file"], optional=True)
    """

    table: Annotated[InstanceOf[Contract] | str, dg.Resolver.default(model_field_type=str)]
    columns: Texts = {}  # noqa: RUF012  pydantic copies it
    without: Words = ()
    optional: bool = False
    name: str | None = None

    @model_validator(mode="after")
    def _require_a_table_taken_in_one_way(self) -> Self:
        if len(self.key.path) != _LAYER_AND_TABLE or not all(is_identifier(part) for part in self.key.path):
            raise ContractError(
                source="A source of a combined table",
                culprit=f"{self.key.to_user_string()!r} is no key of a table.",
                remedy="Name its layer and the table: raw/orders.",
            )
        if both := sorted({*self.columns.values()}.intersection(self.without)):
            raise ContractError(
                source=f"Source {self.key.to_user_string()} of a combined table",
                culprit=f"{both[0]} is named in columns and in without.",
                remedy="Name it in one of them.",
            )
        return self

    @property
    def key(self) -> dg.AssetKey:
        """Its asset key."""
        return In(self.table).key

    def read(self, contract: Contract) -> In:
        """The input that it is: of a table without partitions all that there is."""
        return In(self.table, optional=self.optional, window="all" if contract.partitions_def is None else None)

    @property
    def called(self) -> str:
        """What its rows' origin is called."""
        return self.name or self.key.to_user_string()


def _parts(context: dg.ResolutionContext, value: Any) -> list[Part]:  # noqa: ANN401  of a YAML document
    found = []
    for each in value:
        said = each if isinstance(each, dict) else {"table": str(each)}
        try:
            found.append(Part.resolve_from_model(context, Part.model()(**said)))
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False, include_context=False)
            raise ContractError(
                source=f"Source {said.get('table', each)} of a combined table",
                culprit="; ".join(f"{e['loc'][0]}: {e['msg']}" for e in wrong) + ".",
                remedy="It has table, columns, without, optional and name.",
            ) from None
    return found


PARTS: Final = dg.Resolver(
    _parts, model_field_type=list[str | dict[str, Any]], description="Keys of tables, or table: with more of it."
)
