"""What one export offers: predictions, models and features, taken over together or not at all.

Put here what must fit for an export to be served. Keep out when an export is taken over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mlops_assets.serving import person_features
from mlops_assets.serving.models import LoadedModels
from mlops_assets.serving.person_features import PersonFeatures
from mlops_assets.serving.predictions import PredictionTable

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.platform.export import Export


@dataclass(frozen=True, kw_only=True)
class ServedExport:
    """An open export with everything verified that requests will need.

    Attributes:
        predictions: its predictions.
        models: its models; none where it carries none.
        features: features of persons; ``None`` where it carries none.
    """

    predictions: PredictionTable
    models: LoadedModels
    features: PersonFeatures | None

    @classmethod
    def of(cls, export: Export, *, model_keys: Path | None) -> Self:
        """Take over an export: one bad part refuses the whole, so that predictions and models always fit together.

        Raises:
            ArtifactError: a table does not fit, or a model does not verify.
            KeyFileError: the keys that would verify its models are missing or damaged.
        """
        has_features = person_features.TABLE in export.manifest.tables
        return cls(
            predictions=PredictionTable(export),
            models=LoadedModels(export, model_keys),
            features=PersonFeatures(export) if has_features else None,
        )

    def close(self) -> None:
        """Close the export."""
        self.predictions.close()
