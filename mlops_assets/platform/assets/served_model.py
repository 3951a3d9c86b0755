"""Served models: model files of lakes that the REST service scores with, by declaration.

Put here how versions of a model are offered. Keep out the asset and the export (``exported``), and scoring.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.assets.exported import Exported
from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.exports.manifest import LATEST, PREVIOUS, OutcomeKind, Split

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.contract import Contract

TABLE: Final = "models"
"""The table of an export that holds models."""
ORDER: Final = "trained_for"
"""Its column that orders versions."""
_VERSION: Final = re.compile(r"[0-9a-f]{8,64}")
_RECORD: Final = ("name", "version", "onnx_base64", "inputs", "parameters", "signature", "key_id")


class ServedModel(Exported):
    """A table of signed model files that the REST service scores with.

    Attributes:
        table: see `Exported`; likewise ``keep``, ``automate`` and ``owners``.
        name: of the export; clients name models by their own names.
        order_by: the column of the table that orders versions, such as the month that a model was trained for.
        weights: for each version the share of requests that it answers where they name none: ``latest``, ``previous``,
            or the beginning of a version. A canary is ``{"previous": 0.95, "latest": 0.05}``.
        shadow: versions that score every request beside the one that answers, for figures alone.
        outcome: what applications report of a scored row once it is known: ``boolean``, or ``number`` in the unit of
            the score. Answers are logged then; without, neither is.

    Example:
        >>> import mlops_assets as ma
        >>> churn = ma.ServedModel(table="models/churn", order_by="month", weights={"previous": 0.9, "latest": 0.1})
        >>> churn.asset().key.to_user_string()
        'served/churn_model'
    """

    order_by: str
    weights: dict[str, float] = {"latest": 1.0}  # noqa: RUF012  pydantic copies it
    shadow: list[str] = []  # noqa: RUF012  pydantic copies it
    outcome: OutcomeKind | None = None

    def model_post_init(self, context: object) -> None:
        """Refuse shares that answer nothing.

        Raises:
            ContractError: the name is none, or a share is below zero or none is above.
        """
        super().model_post_init(context)
        for named in (*self.weights, *self.shadow):
            if named not in {LATEST, PREVIOUS} and _VERSION.fullmatch(named) is None:
                raise self.refused(
                    f"it names the version {named!r}", "Name latest, previous, or the beginning of a version's SHA-256."
                )
        if min(self.weights.values(), default=0) < 0 or sum(self.weights.values()) <= 0:
            raise self.refused(f"its weights are {self.weights}", "Give shares that are not below zero, one above it.")

    @property
    def served_name(self) -> str:
        """The name of the export; that of the table with ``_model`` when not given."""
        return self.name or f"{super().served_name}_model"

    @property
    def exported_table(self) -> str:
        """The name of the table in the export."""
        return TABLE

    @property
    def address(self) -> str:
        """Where the service offers it."""
        return "/v1/models"

    def as_split(self) -> Split:
        """Which versions answer."""
        return Split(weights=dict(self.weights), shadow=tuple(self.shadow), outcome=self.outcome)

    def exported_columns(self, contract: Contract) -> tuple[str, ...]:  # noqa: ARG002  all have one shape
        """A model's record, and what orders versions."""
        return (*_RECORD, self.order_by)

    def rows(self, parts: Sequence[ir.Table], contract: Contract) -> ir.Table:  # noqa: ARG002  all have one shape
        """The records of the models, with what orders them."""
        tables = [part.select(*_RECORD, **{ORDER: part[self.order_by].cast("string")}) for part in parts]
        found = tables[0]
        for table in tables[1:]:
            found = found.union(table)
        return found

    def exported_key(self, contract: Contract) -> tuple[str, ...]:  # noqa: ARG002  all have one shape
        """The columns that identify a version."""
        return ("name", ORDER)

    def require_fit(self, contract: Contract) -> None:
        """Refuse a table that holds no models.

        Raises:
            ContractError: it lacks a column.
        """
        if lacking := sorted({*_RECORD, self.order_by} - columns_of(contract).keys()):
            raise self.refused(
                f"{contract.key.to_user_string()} has no column {', '.join(lacking)}",
                f"Name a table of models ({', '.join(_RECORD)}), and the column that orders their versions.",
            )
