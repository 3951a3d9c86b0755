"""The predictions of one export: what clients get, and the queries that find it.

Put here the shape of answers about predictions and how they are read. Keep out HTTP and access.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from mlops_assets.platform.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlops_assets.platform.export import Export

TABLE: Final = "predictions"
KEY: Final = ("election", "state", "district", "measure")
_START: Final = ("", "", "", "")


class Prediction(msgspec.Struct, frozen=True):
    """A predicted value with its interval and its provenance. Fields are in the order of the queries' columns."""

    election: Annotated[str, msgspec.Meta(description="Year of the general election.")]
    state: Annotated[str, msgspec.Meta(description="Postal code of the state.")]
    district: Annotated[str, msgspec.Meta(description="Congressional district, two digits; 00 for one at large.")]
    measure: Annotated[
        str, msgspec.Meta(description="turnout: share of registered voters who vote; total_votes: votes for the House.")
    ]
    value: Annotated[float, msgspec.Meta(description="The predicted value, in the unit of its measure.")]
    lower: Annotated[float, msgspec.Meta(description="Lower end of the interval, same unit.")]
    upper: Annotated[float, msgspec.Meta(description="Upper end of the interval, same unit.")]
    coverage: Annotated[float, msgspec.Meta(description="Share of districts whose outcome the interval should hold.")]
    basis: Annotated[
        float | None, msgspec.Meta(description="Registered voters, or votes at the last election; null if unknown.")
    ]
    model_name: Annotated[str, msgspec.Meta(description="The model that predicted.")]
    model_version: Annotated[str, msgspec.Meta(description="Its version.")]
    features_version: Annotated[str, msgspec.Meta(description="Content hash of the features that were scored.")]


class ServedModel(msgspec.Struct, frozen=True):
    """A model that predicted rows of the export."""

    measure: str
    model_name: str
    model_version: str


class CursorError(ValueError):
    """A cursor is not one that a page gave out."""


_COLUMNS: Final = ", ".join(Prediction.__struct_fields__)
_OF_DISTRICT: Final = f"""
    SELECT {_COLUMNS} FROM {TABLE}
    WHERE election = :election AND state = :state AND district = :district
    ORDER BY measure
"""  # noqa: S608  made of constants
_PAGE: Final = f"""
    SELECT {_COLUMNS} FROM {TABLE}
    WHERE ({", ".join(KEY)}) > ({", ".join(f":after_{column}" for column in KEY)})
    AND (:election IS NULL OR election = :election)
    AND (:state IS NULL OR state = :state)
    AND (:district IS NULL OR district = :district)
    AND (:measure IS NULL OR measure = :measure)
    AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
    ORDER BY {", ".join(KEY)}
    LIMIT :limit
"""  # noqa: S608  made of constants
_LATEST: Final = f"SELECT max(election) FROM {TABLE}"  # noqa: S608  made of constants
_MODELS: Final = f"SELECT DISTINCT measure, model_name, model_version FROM {TABLE} ORDER BY 1, 2, 3"  # noqa: S608


class PredictionTable:
    """The table ``predictions`` of an open export, keyed by election, state, district and measure.

    Attributes:
        manifest: the export's manifest.
        latest_election: the last election that has a prediction.
        models: the models that predicted, one per measure and version.
    """

    def __init__(self, export: Export) -> None:
        """Take over the export.

        Raises:
            ArtifactError: it has no table of predictions, one with other columns or key, or an empty one.
        """
        self._export = export
        self.manifest = export.manifest
        record = export.manifest.tables.get(TABLE)
        if record is None or set(record.columns) != set(Prediction.__struct_fields__):
            raise self._unfit(f"it has no table {TABLE} with the columns {_COLUMNS}")
        if record.key != KEY:
            raise self._unfit(f"its table {TABLE} has the key {list(record.key)}, not {list(KEY)}")
        if record.rows == 0:
            raise self._unfit(f"its table {TABLE} is empty")
        (latest,) = export.connection.execute(_LATEST).fetchone()
        self.latest_election = str(latest)
        self.models = [ServedModel(*row) for row in export.connection.execute(_MODELS)]

    @property
    def export_id(self) -> str:
        """The id of the export."""
        return self.manifest.export_id

    def close(self) -> None:
        """Close the export."""
        self._export.close()

    def of_district(self, *, election: str, state: str, district: str) -> list[Prediction]:
        """The predictions of one district at one election, one per measure, sorted by measure."""
        rows = self._export.connection.execute(
            _OF_DISTRICT, {"election": election, "state": state, "district": district}
        )
        return [Prediction(*row) for row in rows]

    def page(
        self,
        *,
        filters: Mapping[str, str | None],
        states: Iterable[str] | None,
        limit: int,
        cursor: str | None,
    ) -> tuple[list[Prediction], str | None]:
        """Up to ``limit`` predictions after the cursor, sorted by key, and the cursor of the next page if there is one.

        Args:
            filters: for each of ``KEY`` the value to hold, or ``None`` for any.
            states: the only states to show; ``None`` for all.
            limit: how many rows at most.
            cursor: where the last page ended; ``None`` to begin.

        Raises:
            CursorError: the cursor is not one that a page gave out.
        """
        after = _START if cursor is None else _position(cursor)
        rows = self._export.connection.execute(
            _PAGE,
            {
                **filters,
                **{f"after_{column}": value for column, value in zip(KEY, after, strict=True)},
                "states": None if states is None else json.dumps(sorted(states)),
                "limit": limit + 1,
            },
        ).fetchall()
        items = [Prediction(*row) for row in rows[:limit]]
        return items, _cursor(items[-1]) if len(rows) > limit else None

    def _unfit(self, culprit: str) -> ArtifactError:
        return ArtifactError(
            source=f"Export {self.manifest.export_id}", culprit=f"{culprit}.", remedy="Write an export that fits."
        )


def _cursor(last: Prediction) -> str:
    """The place after that row. It is a key, not a number of rows, so that it stays true when the export changes."""
    key = [getattr(last, column) for column in KEY]
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).rstrip(b"=").decode("ascii")


def _position(cursor: str) -> tuple[str, str, str, str]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(text, type=tuple[str, str, str, str])
    except (binascii.Error, ValueError) as error:
        raise CursorError("the cursor is not one that a page gave out") from error
