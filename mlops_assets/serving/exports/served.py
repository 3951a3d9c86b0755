"""What one export offers: a table, or models, taken over whole or not at all.

Put here what must fit for an export to be served. Keep out when an export is taken over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mlops_assets.serving.exports.models import LoadedModels
from mlops_assets.serving.exports.table import ServedTable

if TYPE_CHECKING:
    from mlops_assets.platform.exports.export import Export
    from mlops_assets.platform.exports.manifest import ExportManifest
    from mlops_assets.serving.exports.trust import Trusted


@dataclass(frozen=True, kw_only=True)
class ServedExport:
    """An open export with everything verified that requests will need.

    Attributes:
        name: its name among the exports.
        export: it.
        table: the table of its name; ``None`` where it carries none that is served.
        models: its models; none where it carries none.
        vouchers: the keys that vouch for the export and its models, by their ids.
    """

    name: str
    export: Export
    table: ServedTable | None
    models: LoadedModels
    vouchers: Trusted

    @classmethod
    def of(cls, export: Export, name: str, *, trusted: Trusted) -> Self:
        """Take over an export: one bad part refuses the whole.

        Raises:
            ArtifactError: a table does not fit, or a model does not verify.
        """
        models = LoadedModels(export, trusted)
        record = export.manifest.tables.get(name)
        return cls(
            name=name,
            export=export,
            table=ServedTable(export, name) if record is not None and record.served is not None else None,
            models=models,
            vouchers={key_id: trusted[key_id] for key_id in {*models.key_ids, export.signed_by} if key_id},
        )

    @property
    def manifest(self) -> ExportManifest:
        """The export's manifest."""
        return self.export.manifest

    @property
    def export_id(self) -> str:
        """The export's id."""
        return self.export.manifest.export_id

    def believed_by(self, trusted: Trusted) -> bool:
        """Whether every key that vouches for it is still among those."""
        return all(trusted.get(key_id) == key for key_id, key in self.vouchers.items())

    def close(self) -> None:
        """Close the export, once nothing reads it any more."""
        if self.table is not None:
            self.table.close()
        else:
            self.export.close()
