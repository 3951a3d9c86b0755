"""The models of one export, verified and ready to score.

Put here which models an export offers and how one is found. Keep out HTTP, and scoring itself (`mlops_assets.scoring`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.exports.manifest import LATEST, PREVIOUS, Split
from mlops_assets.platform.identifiers import is_identifier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from mlops_assets.platform.exports.export import Export
    from mlops_assets.platform.exports.manifest import OutcomeKind
    from mlops_assets.scoring.scorer import Scorer
    from mlops_assets.serving.exports.trust import Trusted

TABLE: Final = "models"
KEY: Final = ("name", "trained_for")
_COLUMNS: Final = ("trained_for", "name", "version", "onnx_base64", "inputs", "parameters", "signature", "key_id")
_ROWS: Final = f"SELECT {', '.join(_COLUMNS)} FROM {TABLE} ORDER BY name, trained_for"  # noqa: S608  made of constants


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModel:
    """A model that may be scored with.

    Attributes:
        trained_for: the latest of what it was trained for, such as a month: text that sorts in order of time.
        scorer: it, verified and loaded.
    """

    trained_for: str
    scorer: Scorer

    @property
    def name(self) -> str:
        """Its name."""
        return self.scorer.record.name

    @property
    def version(self) -> str:
        """SHA-256 of its file."""
        return self.scorer.record.version


class LoadedModels:
    """The table ``models`` of an open export, keyed by name and what each is trained for; without it there are none."""

    def __init__(self, export: Export, trusted: Trusted) -> None:
        """Verify and load every model: signature, SHA-256, graph and inputs.

        Args:
            export: the open export.
            trusted: the keys whose models may be loaded, by their ids.

        Raises:
            ArtifactError: the table lacks a column or its key, or a model does not verify.
        """
        self._versions: dict[str, tuple[LoadedModel, ...]] = {}
        self._split = Split()
        self.key_ids: set[str] = set()
        """The keys that vouch for the models."""
        record = export.manifest.tables.get(TABLE)
        if record is None:
            return
        if not set(_COLUMNS) <= set(record.columns) or record.key != KEY:
            raise ArtifactError(
                source=f"Export {export.manifest.export_id}",
                culprit=f"its table {TABLE} lacks columns {sorted(set(_COLUMNS) - set(record.columns))}, or its key "
                f"{list(record.key)} is not {list(KEY)}.",
                remedy="Write an export that fits.",
            )
        self._split = record.split or self._split
        rows = export.fetched(_ROWS)
        models: dict[str, dict[str, LoadedModel]] = {}
        for trained_for, model in _loaded([dict(zip(_COLUMNS, row, strict=True)) for row in rows], trusted):
            self.key_ids.add(model.record.key_id)
            # Of an unchanged file that was trained for several, the latest counts.
            found = LoadedModel(trained_for=trained_for, scorer=model)
            models.setdefault(found.name, {})[found.version] = found
        if self.outcome is not None and (unfit := [name for name in models if not is_identifier(name)]):
            raise ArtifactError(
                source=f"Export {export.manifest.export_id}",
                culprit=f"its model {unfit[0]!r:.60} takes outcomes, and cannot name their folder.",
                remedy="Call it by lower-case letters, digits and underscores.",
            )
        for name, versions in models.items():
            self._versions[name] = tuple(sorted(versions.values(), key=lambda model: model.trained_for))

    @property
    def outcome(self) -> OutcomeKind | None:
        """What is reported of scored rows; ``None`` where answers are not logged."""
        return self._split.outcome

    @property
    def latest(self) -> tuple[LoadedModel, ...]:
        """The latest version of each model, by name."""
        return tuple(self._versions[name][-1] for name in sorted(self._versions))

    def versions(self, name: str) -> tuple[LoadedModel, ...]:
        """The versions of a model, oldest first; empty when there is no such model."""
        return self._versions.get(name, ())

    def find(self, name: str, version: str) -> LoadedModel | None:
        """That version of a model; ``None`` when there is none."""
        return next((model for model in self.versions(name) if model.version == version), None)

    def answering(self, name: str, draw: float) -> LoadedModel | None:
        """The version that answers a request which names none; ``None`` when there is no such model.

        Args:
            name: the model.
            draw: a number from 0 up to 1, drawn for the request: it falls into the share of one version.
        """
        versions = self.versions(name)
        weights = {
            model: weight
            for named, weight in self._split.weights.items()
            if weight > 0 and (model := _named(versions, named)) is not None
        }
        left = draw * sum(weights.values())
        for model, weight in weights.items():
            left -= weight
            if left < 0:
                return model
        return versions[-1] if versions else None

    def shadows(self, name: str, answered: LoadedModel) -> list[LoadedModel]:
        """The versions that score beside the one that answered."""
        found = (_named(self.versions(name), named) for named in self._split.shadow)
        return [model for model in found if model is not None and model is not answered]


def _named(versions: Sequence[LoadedModel], named: str) -> LoadedModel | None:
    """The version that a split names: ``latest``, ``previous``, or by the beginning of its SHA-256."""
    if named == LATEST:
        return versions[-1] if versions else None
    if named == PREVIOUS:
        return versions[-2] if len(versions) > 1 else None
    return next((model for model in versions if model.version.startswith(named)), None)


def _loaded(rows: list[Mapping[str, Any]], trusted: Trusted) -> list[tuple[str, Scorer]]:
    # Imported where the first model is: a service without models needs neither the runtime nor its memory.
    from mlops_assets.scoring.records import ModelRecord  # noqa: PLC0415
    from mlops_assets.scoring.scorer import load  # noqa: PLC0415

    return [(str(row["trained_for"]), load(ModelRecord.of_row(row), trusted)) for row in rows]
