"""Exports by declaration: what a table of a lake becomes an asset with, that writes a signed export for the service.

Put here what every kind of export shares: its tables, its asset, its reading. Keep out what one of them holds
(``served``, ``served_model``), and how an export is written (``platform.exports``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Final

import dagster as dg
from dagster._core.definitions.metadata.metadata_value import ObjectMetadataValue

from mlops_assets.platform import provenance
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.assets.inputs import INS, In, as_key, resolved_in, specs_of
from mlops_assets.platform.assets.lakes import lakes_of
from mlops_assets.platform.assets.reading import pinned_versions, seen_by_run
from mlops_assets.platform.contracts.lake import placed
from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.errors import ContractError, MissingInputError
from mlops_assets.platform.exports.export import DEFAULT_KEEP, write_export
from mlops_assets.platform.identifiers import is_identifier
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import published_table
from mlops_assets.platform.security.model_keys import signing_key
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.exports.manifest import ExportManifest, ServedAs, Split
    from mlops_assets.platform.lake.ledger import Entry

LAYER: Final = "served"
"""The first part of the asset keys of exports."""
EXPORTED: Final = "mlops_assets/exported"
"""The entry of an asset's metadata with the declaration that it is made from."""
_BATCH_ROWS: Final = 50_000


class Exported(dg.Component, dg.Model, dg.Resolvable, ABC):
    """What every export declares.

    Attributes:
        table: the table: its key (``wrangled/customers``), contract or asset; or several of the same columns, whose
            rows are offered as one.
        name: the name in the service's addresses; that of the table when not given.
        keep: how many exports stay, for answers as of a past time.
        automate: whether it follows news of the table by itself.
        owners: whom failures concern; those of the table's contract when not given and known.
    """

    table: Annotated[Any, dg.Resolver.default(model_field_type=str | list[str])]
    name: str = ""
    keep: int = DEFAULT_KEEP
    automate: bool = True
    owners: list[str] = []  # noqa: RUF012  pydantic copies it

    def model_post_init(self, _: object) -> None:
        """Refuse a name that is none.

        Raises:
            ContractError: it is not made of lower-case letters, digits and underscores.
        """
        if not self.tables:
            raise ContractError(
                source="Export", culprit="it names no table.", remedy="Give table='wrangled/customers'."
            )
        if not is_identifier(self.served_name):
            raise self.refused(
                f"it is called {self.served_name!r}", "Give a lower-case name of letters, digits and underscores."
            )

        if self.keep < 1:
            raise self.refused(f"it keeps {self.keep} exports", "Keep at least one: it is the one that is served.")

    @abstractmethod
    def require_fit(self, contract: Contract) -> None:
        """Refuse a table that cannot be exported as declared.

        Raises:
            ContractError: it cannot.
        """

    @abstractmethod
    def exported_columns(self, contract: Contract) -> Sequence[str]:
        """The columns of a table that are read for the export."""

    @abstractmethod
    def rows(self, parts: Sequence[ir.Table], contract: Contract) -> ir.Table:
        """The rows to export, of the rows of each table; the contract is that of the first."""

    @abstractmethod
    def exported_key(self, contract: Contract) -> tuple[str, ...]:
        """The columns that identify an exported row, by which the rows are sorted."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Where the service offers it."""

    @property
    def exported_table(self) -> str:
        """The name of the table in the export."""
        return self.served_name

    def as_served(self, contract: Contract) -> ServedAs | None:  # noqa: ARG002  kinds use it
        """How the service offers the rows; ``None`` where it does not offer them as rows."""
        return None

    def as_split(self) -> Split | None:
        """Of a table of models, which versions answer."""
        return None

    @property
    def served_name(self) -> str:
        """The name in the service's addresses."""
        return self.name or as_key(self.tables[0]).path[-1]

    @property
    def tables(self) -> list[Any]:
        """The tables as they were given."""
        return list(self.table) if isinstance(self.table, list | tuple) else [self.table]

    def definitions(self) -> dg.Definitions:
        """The asset that writes the export."""
        return dg.Definitions(assets=[self.asset()])

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002  Dagster gives it
        """The same, of a component."""
        return self.definitions()

    def asset(self) -> dg.AssetsDefinition:
        """The asset ``served/<name>``; it has no partitions, and reads all of the table's."""
        ins = {f"table_{number}": In(table, window="all", optional=True) for number, table in enumerate(self.tables)}
        key = dg.AssetKey([LAYER, self.served_name])
        contracts = [read.contract for read in ins.values() if read.contract is not None]
        self.require_all_fit(contracts)
        owners = self.owners or list(contracts[0].owners if contracts else ())
        address = self.address
        read_from = ", ".join(read.key.to_user_string() for read in ins.values())

        @dg.asset(
            key=key,
            deps=[read.dep() for read in ins.values()],
            metadata={INS: ObjectMetadataValue(ins), EXPORTED: ObjectMetadataValue(self)},
            description=f"What the service offers at `{address}`: a signed export of {read_from}.",
            automation_condition=on_new_data() if self.automate else None,
            group_name=LAYER,
            kinds={"sqlite"},
            owners=owners,
            code_version="1",
        )
        def export() -> dg.MaterializeResult[None]:
            with told_plainly(f"Asset {key.to_user_string()}", owners=owners):
                manifest = self._written(dg.AssetExecutionContext.get(), ins)
            return dg.MaterializeResult(
                data_version=dg.DataVersion(manifest.export_id),
                metadata={
                    "export_id": manifest.export_id,
                    "dagster/row_count": manifest.tables[self.exported_table].rows,
                    "address": address,
                },
            )

        return export

    def renew(self, session: LakeSession, contracts: Sequence[Contract]) -> ExportManifest:
        """Write the export from what is published now, outside of any run.

        Raises:
            As :meth:`write`.
        """
        versions = {each.lake.name: ledger.latest_version(session, each.lake.name) for each in contracts}
        found = [(each, ledger.current(session, each, None, version=versions[each.lake.name])) for each in contracts]
        return self.write(session, found, versions)

    def write(
        self,
        session: LakeSession,
        found: Sequence[tuple[Contract, Mapping[str | None, Entry]]],
        versions: Mapping[str, int],
    ) -> ExportManifest:
        """Write the rows of those publishes as the service's current export of that name, signed.

        The provenance names contents, not versions of the lake: equal rows give the same export.

        Args:
            session: a session that may read the lakes.
            found: the tables, each with its published partitions.
            versions: for each lake the version to read.

        Raises:
            MissingInputError: nothing has been published yet.
            ContractError: the tables are not what is declared, or their columns are of different types.
            ArtifactError: the rows cannot be exported as declared, as with a key that is repeated or a number that is
                not finite.
            KeyFileError: the key that signs exports cannot be used.
        """
        contracts = [contract for contract, _ in found]
        self.require_all_fit(contracts)
        if not any(entries for _, entries in found):
            raise MissingInputError(
                source=f"Export {self.served_name}",
                culprit=f"nothing of {', '.join(each.key.to_user_string() for each in contracts)} is published yet.",
                remedy="Materialize at least one partition first.",
            )
        published = [
            (contract, published_table(session, contract, entries, version=versions[contract.lake.name]))
            for contract, entries in found
            if entries
        ]
        # What is stored may be of another type than its contract says by now.
        self._require_one_type([(contract, dict(part.schema().items())) for contract, part in published])
        parts = [part for _, part in published]
        key, name = self.exported_key(contracts[0]), self.exported_table
        rows, served, split = self.rows(parts, contracts[0]), self.as_served(contracts[0]), self.as_split()
        return write_export(
            session.settings.exports / self.served_name,
            {name: rows.order_by(*key).to_pyarrow_batches(chunk_size=_BATCH_ROWS)},
            {
                "content_hashes": {
                    contract.key.to_user_string(): {
                        str(partition): entry.record.content_hash
                        for partition, entry in sorted(entries.items(), key=lambda item: str(item[0]))
                    }
                    for contract, entries in found
                },
                "package_version": provenance.package_version(),
                "environment": provenance.environment(session.settings),
            },
            keys={name: key},
            served={} if served is None else {name: served},
            splits={} if split is None else {name: split},
            keep=self.keep,
            signing_key=signing_key(session.settings),
        )

    def require_all_fit(self, contracts: Sequence[Contract]) -> None:
        """Refuse tables that cannot be exported as declared, each by itself or together.

        Raises:
            ContractError: they cannot.
        """
        for contract in contracts:
            self.require_fit(contract)
        self._require_one_type([(contract, columns_of(contract)) for contract in contracts])

    def _require_one_type(self, tables: Sequence[tuple[Contract, Mapping[str, dt.DataType]]]) -> None:
        """Refuse tables whose columns of one name are not of one type: their rows are to be one table."""
        seen: dict[str, tuple[Contract, dt.DataType]] = {}
        for contract, types in tables:
            for column in self.exported_columns(contract):
                kind = types[column].copy(nullable=True)
                first, expected = seen.setdefault(column, (contract, kind))
                if kind != expected:
                    raise self.refused(
                        f"column {column} is {kind} in {contract.key.to_user_string()} and {expected} in "
                        f"{first.key.to_user_string()}",
                        "Give it one type in both contracts and publish anew, or leave it out.",
                    )

    def _written(self, context: dg.AssetExecutionContext, ins: Mapping[str, In]) -> ExportManifest:
        """Write the export of a step, from the lakes as its run sees them."""
        step = context.get_step_execution_context()
        reads = resolved_in(step.job_def, ins, f"Asset {context.asset_key.to_user_string()}")
        contracts = [read.contract for read in reads.values()]
        with LakeSession(placed(Settings.load(), lakes_of(context, {each.lake for each in contracts}))) as session:
            lakes = {each.lake.name for each in contracts}
            versions = pinned_versions(session, lakes, context.instance, context.run.run_id)
            found = [
                (each, seen_by_run(session, each, None, version=versions[each.lake.name], run_id=context.run.run_id))
                for each in contracts
            ]
            return self.write(session, found, versions)

    def refused(self, culprit: str, remedy: str) -> ContractError:
        """The refusal of this declaration."""
        named = ", ".join(as_key(table).to_user_string() for table in self.tables)
        return ContractError(source=f"Export of {named}", culprit=f"{culprit}.", remedy=remedy)


def export_of(asset: dg.AssetsDefinition) -> Exported | None:
    """The declaration that an asset was made from; ``None`` for one that writes no export."""
    specs = specs_of(asset)
    declared = specs[0].metadata.get(EXPORTED) if len(specs) == 1 else None
    return declared.instance if isinstance(declared, ObjectMetadataValue) else None  # type: ignore[return-value]
