"""Features of persons, looked up by pseudonym, where an export carries them.

Put here how features are found. Keep out HTTP, access, and any search: whoever asks must know the pseudonyms, so that
nobody can list persons.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.platform.exports.export import Export

TABLE: Final = "person_features"
KEY: Final = ("state", "person_token")
Feature = str | float | None
"""A feature's value; whole numbers are numbers too."""


class PersonFeatures:
    """The table ``person_features`` of an open export, keyed by state and pseudonym.

    Attributes:
        names: the features: every column beside the key.
    """

    def __init__(self, export: Export) -> None:
        """Take over the table.

        Raises:
            ArtifactError: it has another key.
            KeyError: the export has no such table.
        """
        record = export.manifest.tables[TABLE]
        if record.key != KEY:
            raise ArtifactError(
                source=f"Export {export.manifest.export_id}",
                culprit=f"its table {TABLE} has the key {list(record.key)}, not {list(KEY)}.",
                remedy="Write an export that fits.",
            )
        self._connection = export.connection
        self.names = tuple(name for name in record.columns if name not in KEY)
        # The exporter lets only lower-case identifiers be names of columns.
        columns = ", ".join(f'"{name}"' for name in ("person_token", *self.names))
        self._statement = (
            f"SELECT {columns} FROM {TABLE} "  # noqa: S608  identifiers
            "WHERE state = ? AND person_token IN (SELECT value FROM json_each(?))"
        )

    def of(self, state: str, tokens: Sequence[str]) -> list[dict[str, Feature] | None]:
        """For each pseudonym the person's features by name, ``None`` where the state has nobody of that pseudonym."""
        rows = self._connection.execute(self._statement, (state, json.dumps(list(tokens))))
        found = {token: dict(zip(self.names, values, strict=True)) for token, *values in rows}
        return [found.get(token) for token in tokens]
