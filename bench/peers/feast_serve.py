"""A Feast store with rows of persons online in SQLite, made in a folder. Its own command serves them.

``python feast_serve.py FOLDER ROWS`` makes it by Feast's own writer; the rows are those of ``serve.py``.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Int64, String

CHUNK = 20_000
PARTIES = np.array(["DEM", "REP", "UNA"], dtype=object)


def persons(first: int, rows: int) -> pd.DataFrame:
    """Rows of the persons with these numbers."""
    numbers = np.arange(first, first + rows)
    return pd.DataFrame(
        {
            "person_token": [f"{number:032x}" for number in numbers],
            "age": 18 + numbers % 77,
            "party": PARTIES[numbers % 3],
            "event_timestamp": datetime.now(UTC),
        }
    )


def main(folder: Path, rows: int) -> None:
    """Make the store."""
    source = folder / "persons.parquet"
    persons(0, 1).to_parquet(source)
    (folder / "feature_store.yaml").write_text(
        "project: turnout\nprovider: local\nregistry: registry.db\nonline_store: {type: sqlite, path: online.db}\n"
        "entity_key_serialization_version: 3\n",
        encoding="utf-8",
    )
    store = FeatureStore(str(folder))
    person = Entity(name="person", join_keys=["person_token"], value_type=ValueType.STRING)
    view = FeatureView(
        name="person_features",
        entities=[person],
        ttl=timedelta(days=365),
        schema=[
            Field(name="person_token", dtype=String),
            Field(name="age", dtype=Int64),
            Field(name="party", dtype=String),
        ],
        source=FileSource(path=str(source), timestamp_field="event_timestamp"),
    )
    store.apply([person, view])
    for first in range(0, rows, CHUNK):
        store.write_to_online_store("person_features", df=persons(first, min(CHUNK, rows - first)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
