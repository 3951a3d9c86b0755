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

    from mlops_assets.platform.exports.export import Export

TABLE: Final = "predictions"
KEY: Final = ("election", "state", "district", "measure")


class Prediction(msgspec.Struct, frozen=True):
    """A predicted value with its interval and its provenance. Fields are in the order of the queries' columns."""

    election: Annotated[str, msgspec.Meta(description="Year of the general election.")]
    state: Annotated[str, msgspec.Meta(description="Postal code of the state.")]
    district: Annotated[str, msgspec.Meta(description="Congressional district, two digits; 00 for one at large.")]
    measure: Annotated[
        str,
        msgspec.Meta(
            description="turnout: share of registered voters who vote; total_votes: votes for the House; "
            "democratic_share: the Democratic share of the two-party vote."
        ),
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
    expected_error: Annotated[
        float | None, msgspec.Meta(description="Mean absolute error that the interval lets expect; same unit.")
    ] = None
    expected_brier: Annotated[
        float | None,
        msgspec.Meta(description="Brier score that the persons' probabilities let expect, where they are averaged."),
    ] = None


class PredictingModel(msgspec.Struct, frozen=True):
    """A model that predicted rows of the export."""

    measure: str
    model_name: str
    model_version: str


class CursorError(ValueError):
    """A cursor is not one that a page gave out."""


_LATER: Final = tuple(Prediction.__struct_fields__[-len(Prediction.__struct_defaults__) :])
"""Columns that exports of earlier versions lack; they are kept, and still answer."""
_COLUMNS: Final = tuple(column for column in Prediction.__struct_fields__ if column not in _LATER)
_OF_DISTRICT: Final = """
    SELECT {columns} FROM predictions
    WHERE election = :election AND state = :state AND district = :district
    ORDER BY measure
"""
_HISTORY: Final = """
    SELECT {columns} FROM predictions
    WHERE state = :state AND district = :district AND (:measure IS NULL OR measure = :measure)
    AND election IN (SELECT value FROM json_each(:elections))
    ORDER BY election, measure
"""
_PAGE: Final = """
    SELECT {columns} FROM predictions {where} ORDER BY election, state, district, measure LIMIT :limit
"""
_AFTER: Final = """
    (election, state, district, measure) > (:after_election, :after_state, :after_district, :after_measure)
"""
_VALUES: Final = f"""
    SELECT model_name, model_version, value FROM {TABLE} WHERE election = :election LIMIT 100000
"""  # noqa: S608  made of constants
_ELECTIONS: Final = f"SELECT DISTINCT election FROM {TABLE} ORDER BY 1"  # noqa: S608  made of constants
_STATES: Final = f"SELECT DISTINCT state FROM {TABLE} ORDER BY 1"  # noqa: S608  made of constants
_MODELS: Final = f"SELECT DISTINCT measure, model_name, model_version FROM {TABLE} ORDER BY 1, 2, 3"  # noqa: S608


class PredictionTable:
    """The table ``predictions`` of an open export, keyed by election, state, district and measure.

    Attributes:
        manifest: the export's manifest.
        elections: the elections that have a prediction, oldest first.
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
        if record is None or not set(_COLUMNS) <= set(record.columns):
            raise self._unfit(f"it has no table {TABLE} with the columns {', '.join(_COLUMNS)}")
        if record.key != KEY:
            raise self._unfit(f"its table {TABLE} has the key {list(record.key)}, not {list(KEY)}")
        if record.rows == 0:
            raise self._unfit(f"its table {TABLE} is empty")
        self._columns = ", ".join((*_COLUMNS, *(name if name in record.columns else "NULL" for name in _LATER)))
        self.elections = tuple(str(election) for (election,) in export.connection.execute(_ELECTIONS))
        self._states = frozenset(str(state) for (state,) in export.connection.execute(_STATES))
        self.models = [PredictingModel(*row) for row in export.connection.execute(_MODELS)]

    @property
    def export_id(self) -> str:
        """The id of the export."""
        return self.manifest.export_id

    @property
    def latest_election(self) -> str:
        """The last election that has a prediction."""
        return self.elections[-1]

    def close(self) -> None:
        """Close the export."""
        self._export.close()

    def published_values(self) -> dict[tuple[str, str], list[float]]:
        """For each model and version the values it predicted for the latest election; 100,000 at most of all."""
        values: dict[tuple[str, str], list[float]] = {}
        for name, version, value in self._export.connection.execute(_VALUES, {"election": self.latest_election}):
            values.setdefault((name, version), []).append(value)
        return values

    def of_district(self, *, election: str, state: str, district: str) -> list[Prediction]:
        """The predictions of one district at one election, one per measure, sorted by measure."""
        rows = self._export.connection.execute(
            _OF_DISTRICT.format(columns=self._columns), {"election": election, "state": state, "district": district}
        )
        return [Prediction(*row) for row in rows]

    def history(self, *, state: str, district: str, measure: str | None) -> list[Prediction]:
        """The predictions of one district at all elections, of one measure or all, sorted by election and measure."""
        # The key begins with the election: naming each makes this a few look-ups instead of a scan.
        rows = self._export.connection.execute(
            _HISTORY.format(columns=self._columns),
            {"state": state, "district": district, "measure": measure, "elections": json.dumps(self.elections)},
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
        position: dict[str, str] = {}
        if cursor is not None:
            position = {f"after_{column}": value for column, value in zip(KEY, _position(cursor), strict=True)}
        given = {column: value for column, value in filters.items() if value is not None}
        if (states is not None and given.get("state") not in {None, *states}) or not self._has(given.get("measure")):
            return [], None
        conditions = [_AFTER] * bool(position) + [f"{column} = :{column}" for column in given]
        if given.keys() & {"state", "district"} or states is not None:
            # Each part of the key that comes first and is not given is named: a few look-ups instead of a scan.
            conditions += ["election IN (SELECT value FROM json_each(:elections))"] * ("election" not in given)
            conditions += ["state IN (SELECT value FROM json_each(:states))"] * ("state" not in given)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        rows = self._export.connection.execute(
            _PAGE.format(columns=self._columns, where=where),
            {
                **given,
                **position,
                "elections": json.dumps(self.elections),
                "states": json.dumps(sorted(self._states if states is None else self._states & set(states))),
                "limit": limit + 1,
            },
        ).fetchall()
        items = [Prediction(*row) for row in rows[:limit]]
        return items, _cursor(items[-1]) if len(rows) > limit else None

    def _has(self, measure: str | None) -> bool:
        """Whether there are rows of that measure: a scan for what is nowhere would read everything."""
        return measure is None or any(model.measure == measure for model in self.models)

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
