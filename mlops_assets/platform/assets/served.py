"""Served tables: rows of lakes that the REST service answers with, by declaration.

Put here how a table is offered: its key, filters, limits and way of access. Keep out the asset and the export
(``exported``), and how it is answered from (that is the service's).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlops_assets.platform.assets.exported import Exported
from mlops_assets.platform.assets.served_model import TABLE
from mlops_assets.platform.contracts.rules import columns_of, key_columns, listed_values
from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.exports.manifest import Mode, ServedAs
from mlops_assets.platform.exports.tables import check_served

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.contract import Contract

_MOST_LISTED: Final = 200
"""More values are no choice that anybody would make from a list."""


class Served(Exported):
    """A table of a lake that the REST service answers from.

    Its asset ``served/<name>`` writes all published partitions as one verified, signed, immutable export, which the
    service follows. The signed manifest holds this declaration, so the service needs no other word of it: routes,
    parameters, types, authorization and the OpenAPI document follow.

    Attributes:
        table: see `Exported`; likewise ``name``, ``keep``, ``automate`` and ``owners``.
        key: the columns that identify a row; the key of the table's contract when not given. Clients name them in this
            order.
        limit_by: columns by which principals are limited to some rows, such as ``territory``.
        filters: columns by which a list is narrowed; those of the key and of ``limit_by`` when not given.
        scope: what a principal must be allowed to read it; ``<name>:read`` when not given.
        mode: ``list`` for rows that can be listed, filtered and found by key; ``lookup`` for rows of persons and the
            like, which only those find who know their keys.
        latest: the column of the key, such as the month, whose greatest value is meant where none is named.
        newest: only rows with that many of the greatest values of ``latest`` are exported; all when not given.
        columns: the columns that are exported; all when not given. One that holds personal data is never.

    Example:
        >>> import mlops_assets as ma
        >>> churn = ma.Served(table="predictions/churn", key=["customer"], limit_by=["territory"])
        >>> churn.asset().key.to_user_string()
        'served/churn'
    """

    key: list[str] | None = None
    limit_by: list[str] = []  # noqa: RUF012  pydantic copies it
    filters: list[str] | None = None
    scope: str = ""
    mode: Mode = Mode.LIST
    latest: str | None = None
    newest: int | None = None
    columns: list[str] | None = None

    def model_post_init(self, context: object) -> None:
        """Refuse what cannot be served whatever the table is.

        Raises:
            ContractError: the name is none, or options contradict each other.
        """
        super().model_post_init(context)
        if self.served_name == TABLE:
            raise self.refused(f"exports of models have a table of the name {TABLE}", "Give another name.")
        for option, names in {"key": self.key, "filters": self.filters, "columns": self.columns}.items():
            if names is not None and len(set(names)) != len(names):
                raise self.refused(f"its {option} name a column twice", "Name each once.")
        if self.newest is not None and (self.latest is None or self.newest < 1):
            raise self.refused("newest counts values of latest", "Name latest, and at least one of its values.")

    @property
    def address(self) -> str:
        """Where the service offers it."""
        return f"/v1/tables/{self.served_name}" if self.mode is Mode.LIST else f"/v1/lookup/{self.served_name}"

    def as_served(self, contract: Contract) -> ServedAs:
        """What the manifest says of the table with that contract."""
        exported, key = self.exported_columns(contract), self.exported_key(contract)
        filters = self.filters if self.filters is not None else list(dict.fromkeys([*key, *self.limit_by]))
        return ServedAs(
            mode=self.mode,
            scope=self.scope or f"{self.served_name}:read",
            limit_by=tuple(self.limit_by),
            filters=() if self.mode is Mode.LOOKUP and self.filters is None else tuple(filters),
            latest=self.latest,
            description=contract.description,
            descriptions={
                name: text
                for name, column in contract.schema.columns.items()
                if name in exported and (text := str(column.description or column.title or ""))
            },
            values=self._values(contract, exported),
        )

    def _values(self, contract: Contract, exported: Sequence[str]) -> dict[str, tuple[str | int, ...]]:
        """What columns may hold by the contract, as the document tells it.

        Not of columns that limit principals, since a contract may list territories of which they are not to know; not
        of several tables, whose contracts may list others.
        """
        told = set(exported) - set(self.limit_by) if len(self.tables) == 1 else set()
        return {
            column: values
            for column, values in listed_values(contract).items()
            if column in told and 0 < len(values) <= _MOST_LISTED and all(type(value) in {str, int} for value in values)
        }

    def rows(self, parts: Sequence[ir.Table], contract: Contract) -> ir.Table:
        """The exported columns of all rows, or of those of the newest."""
        columns = self.exported_columns(contract)
        table = parts[0].select(*columns)
        for part in parts[1:]:
            table = table.union(part.select(*columns))
        if self.newest is None or self.latest is None:
            return table
        newest = table.select(self.latest).distinct().order_by(table[self.latest].desc()).limit(self.newest)
        return table.semi_join(newest, self.latest)

    def exported_key(self, contract: Contract) -> tuple[str, ...]:
        """The columns that identify a row."""
        return tuple(self.key) if self.key is not None else key_columns(contract)

    def require_fit(self, contract: Contract) -> None:
        """Refuse a table that is not as declared, or whose columns hold personal data.

        Raises:
            ContractError: it is not.
        """
        there, exported, key = columns_of(contract), self.exported_columns(contract), self.exported_key(contract)
        named = {
            "key": key,
            "limit_by": self.limit_by,
            "filters": self.filters or (),
            "latest": [self.latest] if self.latest else (),
        }
        table = contract.key.to_user_string()
        if unknown := sorted(set(exported) - set(there)):
            raise self.refused(f"{table} has no column {unknown[0]}", f"It has {', '.join(there)}.")
        for option, names in named.items():
            if lacking := sorted(set(names) - set(exported)):
                raise self.refused(
                    f"its {option} names {lacking[0]}, which is not exported of {table}",
                    f"There are {', '.join(exported)}.",
                )
        if not key:
            raise self.refused(f"neither it nor {table} says what identifies a row", "Give key=[...].")
        try:
            check_served(self.served_name, exported, key, self.as_served(contract))
        except ArtifactError as error:
            raise self.refused(error.culprit.rstrip("."), error.remedy) from None
        if personal := sorted(contract.personal.intersection(exported)):
            raise self.refused(
                f"column {personal[0]} of {table} holds personal data",
                "Serve a wrangled table with pseudonyms, or name the others: columns=[...].",
            )

    def exported_columns(self, contract: Contract) -> list[str]:
        """Those named, or all."""
        return list(self.columns if self.columns is not None else columns_of(contract))
