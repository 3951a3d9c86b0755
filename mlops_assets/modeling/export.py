"""What the service gets: every published prediction, read at one state of the lake, with where each came from.

Put here the choice and the reading of what is exported. Keep out how an export is written (that is the platform's) and
how it is served.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from mlops_assets.contracts import predictions
from mlops_assets.platform import ledger, provenance
from mlops_assets.platform.errors import MissingInputError
from mlops_assets.platform.export import write_export
from mlops_assets.platform.reads import published_table
from mlops_assets.platform.settings import LakeName

if TYPE_CHECKING:
    from mlops_assets.platform.export_manifest import ExportManifest
    from mlops_assets.platform.lake import LakeSession

TABLE: Final = "predictions"
KEY: Final = ("election", "state", "district", "measure")
EXPORTED: Final = (predictions.DISTRICT_TURNOUT, predictions.DISTRICT_VOTES)


@dataclass(frozen=True, kw_only=True)
class PublishedPredictions:
    """All predictions at one state of the lake.

    Attributes:
        table: rows of the predictions' contract, of every election, state and measure, sorted by :data:`KEY`.
        content_hashes: for each table (asset key as text) the content hash of each partition.
        lake_version: the version of the lake that was read.
    """

    table: pa.Table
    content_hashes: dict[str, dict[str, str]]
    lake_version: int


def published_predictions(session: LakeSession) -> PublishedPredictions:
    """Read every published partition of the predictions.

    Raises:
        MissingInputError: no prediction has been published yet.
    """
    version = ledger.latest_version(session, LakeName.CURATED)
    tables: list[pa.Table] = []
    hashes: dict[str, dict[str, str]] = {}
    for contract in EXPORTED:
        keys = contract.partitions_def.get_partition_keys() if contract.partitions_def else []
        entries = ledger.current(session, contract, list(keys), version=version)
        if not entries:
            continue
        tables.append(published_table(session, contract, entries, version=version).to_pyarrow())
        hashes[contract.key.to_user_string()] = {
            str(key): entry.record.content_hash for key, entry in sorted(entries.items(), key=lambda item: str(item[0]))
        }
    rows = pa.concat_tables(tables) if tables else None
    if rows is None or not rows.num_rows:
        raise MissingInputError(
            source="Tables " + " and ".join(contract.key.to_user_string() for contract in EXPORTED),
            culprit="no prediction has been published yet.",
            remedy="Materialize predictions of at least one election first.",
        )
    table = rows.sort_by([(column, "ascending") for column in KEY])
    return PublishedPredictions(table=table, content_hashes=hashes, lake_version=version)


def export_predictions(session: LakeSession) -> ExportManifest:
    """Write all published predictions as the service's current export.

    The provenance names contents, not versions of the lake: equal predictions give the same export.

    Raises:
        MissingInputError: no prediction has been published yet.
        ArtifactError: the export could not be written as read.
    """
    found = published_predictions(session)
    where_from: dict[str, Any] = {
        "content_hashes": found.content_hashes,
        "package_version": provenance.package_version(),
        "environment": provenance.environment(session.settings),
    }
    return write_export(session.settings.exports, {TABLE: found.table}, where_from, keys={TABLE: KEY})
