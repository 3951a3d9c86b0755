"""What the service gets: every published prediction and the models behind them, with where each came from.

Put here the choice and the reading of what is exported. Keep out how an export is written (that is the platform's) and
how it is served.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.contracts import features, models, predictions
from mlops_assets.contracts.lakes import CURATED
from mlops_assets.platform import provenance
from mlops_assets.platform.errors import MissingInputError
from mlops_assets.platform.exports.export import write_export
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.tables import published_table
from mlops_assets.scoring.encoding import Encoding
from mlops_assets.scoring.model_keys import signing_key
from mlops_assets.scoring.records import ENCODING, ModelRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.exports.manifest import ExportManifest
    from mlops_assets.platform.lake.ledger import Entry
    from mlops_assets.platform.lake.session import LakeSession

TABLE: Final = "predictions"
KEY: Final = ("election", "state", "district", "measure")
EXPORTED: Final = (predictions.DISTRICT_TURNOUT, predictions.DISTRICT_VOTES, predictions.DISTRICT_SHARE)
MODELS_TABLE: Final = "models"
MODELS_KEY: Final = ("name", "election")
EXPORTED_MODELS: Final = (models.PERSON_TURNOUT, models.DISTRICT_VOTES, models.DISTRICT_SHARE)
FEATURES_TABLE: Final = "person_features"
FEATURES_KEY: Final = ("state", "person_token")
_BATCH_ROWS: Final = 50_000


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
    version = ledger.latest_version(session, CURATED.name)
    rows, hashes = _published(session, EXPORTED, version)
    if rows is None or not rows.num_rows:
        raise MissingInputError(
            source="Tables " + ", ".join(contract.key.to_user_string() for contract in EXPORTED),
            culprit="no prediction has been published yet.",
            remedy="Materialize predictions of at least one election first.",
        )
    table = rows.sort_by([(column, "ascending") for column in KEY])
    return PublishedPredictions(table=table, content_hashes=hashes, lake_version=version)


def published_models(session: LakeSession, found: PublishedPredictions) -> pa.Table | None:
    """The models that made those predictions, as rows of the models' contract; ``None`` when there is none.

    A model that was promoted after the predictions were made is left out: it comes with its own predictions.
    """
    rows, _ = _published(session, EXPORTED_MODELS, found.lake_version)
    if rows is None:
        return None
    made = rows.filter(pc.is_in(rows["version"], value_set=pc.unique(found.table["model_version"])))
    return made if made.num_rows else None


def person_features(
    session: LakeSession, found: PublishedPredictions, exported: pa.Table
) -> pa.RecordBatchReader | None:
    """What the latest model of a person's turnout reads of each person at its election, by state and pseudonym.

    Neither the label nor any other column leaves the lake: a client needs no more to score. Rows come in batches,
    sorted by :data:`FEATURES_KEY` and read as they are asked for: the session must stay open. ``None`` when there is no
    such model, or no features of its election.
    """
    rows = exported.filter(pc.equal(exported["name"], models.PERSON_TURNOUT.table))
    if not rows.num_rows:
        return None
    latest = rows.sort_by("election").to_pylist()[-1]
    record = ModelRecord.of_row(latest)
    columns = dict.fromkeys((*FEATURES_KEY, *Encoding.model_validate(record.parameters[ENCODING]).columns))
    contract, version = features.PERSON_TURNOUT, found.lake_version
    entries = _entries(session, contract, version, election=latest["election"])
    if not entries:
        return None
    rows = published_table(session, contract, entries, version=version).select(*columns).order_by(*FEATURES_KEY)
    return rows.to_pyarrow_batches(chunk_size=_BATCH_ROWS)


def export_predictions(session: LakeSession) -> ExportManifest:
    """Write all published predictions, and the models behind them, as the service's current export, signed.

    Features of persons are part of it only where the setting ``service.person_features`` asks for them. The provenance
    names contents, not versions of the lake: equal predictions and models give the same export.

    Raises:
        MissingInputError: no prediction has been published yet.
        ArtifactError: the export could not be written as read.
        KeyFileError: the key that signs models and exports cannot be used.
    """
    found = published_predictions(session)
    where_from: dict[str, Any] = {
        "content_hashes": found.content_hashes,
        "package_version": provenance.package_version(),
        "environment": provenance.environment(session.settings),
    }
    tables: dict[str, pa.Table | pa.RecordBatchReader] = {TABLE: found.table}
    keys: dict[str, tuple[str, ...]] = {TABLE: KEY}
    exported = published_models(session, found)
    if exported is not None:
        tables[MODELS_TABLE], keys[MODELS_TABLE] = exported, MODELS_KEY
        persons = person_features(session, found, exported) if session.settings.service.person_features else None
        if persons is not None:
            tables[FEATURES_TABLE], keys[FEATURES_TABLE] = persons, FEATURES_KEY
    key = signing_key(session.settings)
    return write_export(session.settings.exports, tables, where_from, keys=keys, signing_key=key)


def _published(
    session: LakeSession, contracts: Iterable[Contract], version: int
) -> tuple[pa.Table | None, dict[str, dict[str, str]]]:
    """Rows of all published partitions, and for each table the hashes of its partitions."""
    tables: list[pa.Table] = []
    hashes: dict[str, dict[str, str]] = {}
    for contract in contracts:
        entries = _entries(session, contract, version)
        if not entries:
            continue
        tables.append(published_table(session, contract, entries, version=version).to_pyarrow())
        hashes[contract.key.to_user_string()] = {
            str(key): entry.record.content_hash for key, entry in sorted(entries.items(), key=lambda item: str(item[0]))
        }
    return (pa.concat_tables(tables) if tables else None), hashes


def _entries(
    session: LakeSession, contract: Contract, version: int, *, election: str | None = None
) -> Mapping[str | None, Entry]:
    """The published partitions of a table, all or those of one election."""
    keys = contract.partitions_def.get_partition_keys() if contract.partitions_def else []
    asked = [key for key in keys if election is None or election in str(key).split("|")]
    return ledger.current(session, contract, asked, version=version)
