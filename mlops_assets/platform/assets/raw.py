"""Raw deliveries in runs: how a step says what it was made from, and how a run is told to read that again.

Put here the names of those entries and tags. Keep out the files (``lake.raw``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.platform.lake.ledger import Delivery

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA: Final = "mlops_assets/raw"
"""Entry of a result's metadata with the delivery that its rows were made from."""

TAG: Final = "mlops_assets/raw"
"""Tag of a run that reads what was kept instead of asking the source: ``kept``, or the SHA-256 of a delivery."""

KEPT: Final = "kept"
"""Value of that tag: the delivery that each partition's current publish was made from."""


def in_metadata(delivery: Delivery) -> dict[str, dg.JsonMetadataValue]:
    """The entry of a result's metadata by which a step notes in the ledger what it was made from."""
    return {METADATA: dg.JsonMetadataValue(delivery.model_dump())}


def of_metadata(metadata: Mapping[str, object]) -> Delivery | None:
    """The delivery that an entry of metadata tells of, if there is one."""
    told = metadata.get(METADATA)
    return Delivery.model_validate(told.value) if isinstance(told, dg.JsonMetadataValue) else None
