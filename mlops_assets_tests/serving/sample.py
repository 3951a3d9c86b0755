"""A small export: predictions of two states, elections and measures, a model with an encoding, features of persons.

Put here the rows that the service's tests share. Keep out anything that needs the lake.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mlops_assets.platform.exports.export import DEFAULT_KEEP, write_export
from mlops_assets.platform.security import token_keys
from mlops_assets.scoring.encoding import Encoding, Number, OneOf
from mlops_assets.scoring.signatures import signed
from mlops_assets.serving.exports import models, person_features
from mlops_assets.serving.exports.predictions import KEY, TABLE
from mlops_assets_tests.scoring.models import linear_graph, record_of

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.platform.exports.manifest import ExportManifest
    from mlops_assets.scoring.records import ModelRecord

DISTRICTS = {"NC": [f"{number:02}" for number in range(1, 15)], "GA": [f"{number:02}" for number in range(1, 15)]}
ELECTIONS = ("2020", "2022")
MEASURES = ("total_votes", "turnout")
MODEL = "person_turnout"
MODEL_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
"""Signs the sample's models and exports; of tests alone."""
PERSONS = ("0" * 31 + "1", "0" * 31 + "2", "0" * 31 + "3")
ROWS = len(ELECTIONS) * len(MEASURES) * sum(len(numbers) for numbers in DISTRICTS.values())


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
    record = dataclasses.replace(record_of(linear_graph(), encoding=encoding), name=MODEL)
    return signed(record, key)


def model_rows(*records: ModelRecord) -> pa.Table:
    """Rows as the export's table of models holds them, each for an election of its own."""
    return pa.Table.from_pylist(
        [{"election": str(2022 + 2 * number), **record.row()} for number, record in enumerate(records)]
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


def export_predictions(
    folder: Path,
    model_version: str = "v1",
    *records: ModelRecord,
    keep: int = DEFAULT_KEEP,
    key: Ed25519PrivateKey | None = MODEL_KEY,
) -> ExportManifest:
    """Make an export of them current; models, and features with them, only where records are given.

    A service without models starts much faster: it imports no Arrow and no runtime.
    """
    tables: dict[str, pa.Table] = {TABLE: predictions(model_version)}
    keys: dict[str, tuple[str, ...]] = {TABLE: KEY}
    if records:
        tables |= {models.TABLE: model_rows(*records), person_features.TABLE: features()}
        keys |= {models.TABLE: models.KEY, person_features.TABLE: person_features.KEY}
    provenance = {"lake_snapshot": 7, "model": model_version}
    return write_export(folder, tables, provenance, keys=keys, keep=keep, signing_key=key)


def export_everything(folder: Path) -> ExportManifest:
    """The same with the sample's model and features of persons."""
    return export_predictions(folder, "v1", turnout_model())
