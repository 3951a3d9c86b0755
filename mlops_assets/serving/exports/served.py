"""What one export offers: predictions, models and features, taken over together or not at all.

Put here what must fit for an export to be served. Keep out when an export is taken over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mlops_assets.serving.exports import person_features
from mlops_assets.serving.exports.models import LoadedModels
from mlops_assets.serving.exports.person_features import PersonFeatures
from mlops_assets.serving.exports.predictions import PredictionTable

if TYPE_CHECKING:
    from mlops_assets.platform.exports.export import Export
    from mlops_assets.serving.exports.trust import Trusted


@dataclass(frozen=True, kw_only=True)
class ServedExport:
    """An open export with everything verified that requests will need.

    Attributes:
        predictions: its predictions.
        models: its models; none where it carries none.
        features: features of persons; ``None`` where it carries none.
        vouchers: the keys that vouch for the export and its models, by their ids.
    """

    predictions: PredictionTable
    models: LoadedModels
    features: PersonFeatures | None
    vouchers: Trusted

    @classmethod
    def of(cls, export: Export, *, trusted: Trusted) -> Self:
        """Take over an export: one bad part refuses the whole, so that predictions and models always fit together.

        Raises:
            ArtifactError: a table does not fit, or a model does not verify.
        """
        has_features = person_features.TABLE in export.manifest.tables
        models = LoadedModels(export, trusted)
        return cls(
            predictions=PredictionTable(export),
            models=models,
            features=PersonFeatures(export) if has_features else None,
            vouchers={key_id: trusted[key_id] for key_id in {*models.key_ids, export.signed_by} if key_id},
        )

    def believed_by(self, trusted: Trusted) -> bool:
        """Whether every key that vouches for it is still among those."""
        return all(trusted.get(key_id) == key for key_id, key in self.vouchers.items())

    def close(self) -> None:
        """Close the export."""
        self.predictions.close()
