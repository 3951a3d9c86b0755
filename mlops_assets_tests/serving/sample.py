"""Small exports: predictions of districts, a model with an encoding, features of persons, and customers of a company.

Put here the rows that the service's tests share. Keep out anything that needs the lake.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mlops_assets.modeling.encoding import Encoding
from mlops_assets.modeling.terms import Missing, Number, OneOf
from mlops_assets.platform.exports.export import DEFAULT_KEEP, write_export
from mlops_assets.platform.exports.manifest import Mode, OutcomeKind, ServedAs, Split
from mlops_assets.platform.security import token_keys
from mlops_assets.scoring.inputs import Kind
from mlops_assets.scoring.signatures import signed
from mlops_assets.serving.exports import models
from mlops_assets.serving.identity.scopes import Scope
from mlops_assets_tests.scoring.models import encoded_record

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.platform.exports.manifest import ExportManifest
    from mlops_assets.scoring.records import ModelRecord

DISTRICTS = {"NC": [f"{number:02}" for number in range(1, 15)], "GA": [f"{number:02}" for number in range(1, 15)]}
ELECTIONS = ("2020", "2022")
MEASURES = ("total_votes", "turnout")
MODEL = "person_turnout"
EVERY_KIND = "every_kind"
MODEL_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
"""Signs the sample's models and exports; of tests alone."""
PERSONS = ("0" * 31 + "1", "0" * 31 + "2", "0" * 31 + "3")
ROWS = len(ELECTIONS) * len(MEASURES) * sum(len(numbers) for numbers in DISTRICTS.values())


TABLE, KEY = "predictions", ("election", "state", "district", "measure")
PREDICTIONS_SERVED = ServedAs(
    scope="predictions:read", limit_by=("state",), filters=KEY, latest="election", description="What is predicted."
)
CUSTOMERS = "customers"
CUSTOMERS_SERVED = ServedAs(
    scope="customers:read",
    limit_by=("territory",),
    filters=("month", "customer", "territory", "active", "since", "seen", "note"),
    latest="month",
    values={"note": tuple(f"note {number}" for number in range(1, 11))},
)
FEATURES = "person_features"
FEATURES_SERVED = ServedAs(mode=Mode.LOOKUP, scope="features:read", limit_by=("state",))
READ = "predictions:read"
"""The scope of the predictions."""
EVERYTHING = (*Scope, READ, CUSTOMERS_SERVED.scope, FEATURES_SERVED.scope)


def predictions(model_version: str = "v1") -> pa.Table:
    """Rows as the export of predictions holds them."""
    rows = [
        {
            "election": election,
            "state": state,
            "district": district,
            "measure": measure,
            "value": 0.5,
            "lower": 0.4,
            "upper": 0.6,
            "coverage": 0.9,
            "basis": None if measure == "turnout" else 500_000.0,
            "model_name": f"district_{measure}",
            "model_version": model_version,
            "features_version": f"features-{election}-{state}",
            "expected_error": 0.05,
            "expected_brier": 0.2 if measure == "turnout" else None,
        }
        for election in ELECTIONS
        for state, districts in DISTRICTS.items()
        for district in districts
        for measure in MEASURES
    ]
    return pa.Table.from_pylist(rows)


def turnout_model(fill: float = 40.0, *, key: Ed25519PrivateKey = MODEL_KEY) -> ModelRecord:
    """A signed model of two raw columns, which become two features: ``0.5 * age - is_DEM``."""
    encoding = Encoding(terms=(Number(column="age", fill=fill), OneOf(column="party", classes=("DEM",))))
    return signed(dataclasses.replace(encoded_record(encoding), name=MODEL), key)


def every_kind_model() -> ModelRecord:
    """A signed model of a column of each kind, of which ``count`` and ``segment`` have flags of their nulls.

    It gives ``0.5 * amount - rate + 0.5 * count - level + 0.5 * active``, and for the count's null -1, for the segments
    gold, "nan" and "" 0.5, -1 and 0.5, and for the segment's null -1.
    """
    names = ("amount", "rate", "count", "level", "active")
    encoding = Encoding(
        terms=(
            *(Number(column=name, fill=0.0) for name in names),
            Missing(column="count"),
            OneOf(column="segment", classes=("gold", "nan", "")),
            Missing(column="segment"),
        ),
        kinds={"rate": Kind.FLOAT, "count": Kind.INT64, "level": Kind.INT32, "active": Kind.BOOL},
    )
    return signed(dataclasses.replace(encoded_record(encoding), name=EVERY_KIND), MODEL_KEY)


def model_rows(*records: ModelRecord) -> pa.Table:
    """Rows as the export's table of models holds them, each trained for a year of its own."""
    return pa.Table.from_pylist(
        [{"trained_for": str(2022 + 2 * number), **record.row()} for number, record in enumerate(records)]
    )


def trust_models(keys: Path) -> None:
    """Write the file of keys whose models may be loaded: the sample's."""
    public = MODEL_KEY.public_key()
    token_keys._write_keys(keys, {token_keys.key_id_of(public): public})


def features() -> pa.Table:
    """Features of persons: two of North Carolina, one of Georgia."""
    return pa.table(
        {
            "state": ["NC", "NC", "GA"],
            "person_token": list(PERSONS),
            "age": pa.array([40, None, 70], pa.int64()),
            "party": ["DEM", "REP", "NONE"],
        }
    )


def customers(months: int = 2) -> pa.Table:
    """Customers of two territories by month, with a column of each kind that a table may have."""
    rows = [
        {
            "month": f"2024-{month:02}",
            "customer": number,
            "territory": "north" if number % 2 else "south",
            "active": number % 3 != 0,
            "churn": number / 10,
            "since": date(2020, 1, number),
            "seen": datetime(2024, 1, number, 12, tzinfo=UTC),
            "note": None if number % 4 == 0 else f"note {number}",
        }
        for month in range(1, months + 1)
        for number in range(1, 11)
    ]
    return pa.Table.from_pylist(rows)


def export_predictions(
    folder: Path, model_version: str = "v1", *, keep: int = DEFAULT_KEEP, key: Ed25519PrivateKey | None = MODEL_KEY
) -> ExportManifest:
    """Make an export of the predictions current."""
    return write_export(
        folder / TABLE,
        {TABLE: predictions(model_version)},
        {"lake_snapshot": 7, "model": model_version},
        keys={TABLE: KEY},
        served={TABLE: PREDICTIONS_SERVED},
        keep=keep,
        signing_key=key,
    )


def export_customers(folder: Path, months: int = 2, *, served: ServedAs = CUSTOMERS_SERVED) -> ExportManifest:
    """Make an export of the customers current."""
    return write_export(
        folder / CUSTOMERS,
        {CUSTOMERS: customers(months)},
        {},
        keys={CUSTOMERS: ("month", "customer")},
        served={CUSTOMERS: served},
        signing_key=MODEL_KEY,
    )


def export_features(folder: Path) -> ExportManifest:
    """Make an export of the features of persons current."""
    return write_export(
        folder / FEATURES,
        {FEATURES: features()},
        {},
        keys={FEATURES: ("state", "person_token")},
        served={FEATURES: FEATURES_SERVED},
        signing_key=MODEL_KEY,
    )


def export_models(
    folder: Path,
    *records: ModelRecord,
    keep: int = DEFAULT_KEEP,
    key: Ed25519PrivateKey | None = MODEL_KEY,
    split: Split | None = None,
) -> ExportManifest:
    """Make an export of those versions of the model current.

    A service without models starts much faster: it imports no Arrow and no runtime.
    """
    return write_export(
        folder / MODEL,
        {models.TABLE: model_rows(*records)},
        {},
        keys={models.TABLE: models.KEY},
        splits={} if split is None else {models.TABLE: split},
        keep=keep,
        signing_key=key,
    )


def export_everything(folder: Path) -> None:
    """Make all of them current."""
    export_predictions(folder)
    export_customers(folder)
    export_features(folder)
    export_models(folder, turnout_model(), every_kind_model(), split=Split(outcome=OutcomeKind.BOOLEAN))
