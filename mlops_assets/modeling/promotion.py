"""Promotion: a candidate meets the gate beside the published model, and only what passes is signed.

Put here the step from a trained candidate to what its asset returns. Keep out the gate's questions (``gate``) and the
publishing itself, which is the platform's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.modeling.card import card
from mlops_assets.modeling.evidence import evidence_in
from mlops_assets.modeling.gate import REFERENCE, judge, reference
from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.tables import published_table
from mlops_assets.platform.security.model_keys import signing_key, trusted_keys
from mlops_assets.scoring.records import ModelRecord
from mlops_assets.scoring.signatures import check_signature, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import ibis.expr.types as ir
    import pyarrow as pa
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from mlops_assets.modeling.card import Purpose
    from mlops_assets.modeling.evidence import Evidence
    from mlops_assets.modeling.gate import Bounds
    from mlops_assets.modeling.trained import Trained
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.session import LakeSession


@dataclass(frozen=True, kw_only=True)
class Candidacy:
    """By what a model is chosen, judged and described.

    Attributes:
        contract: the table of the model.
        metric: the error by which its forms are compared, at the level of its purpose.
        bounds: the declared bounds.
        purpose: what only its owner can say.
    """

    contract: Contract
    metric: str
    bounds: Bounds
    purpose: Purpose


def promote(
    candidacy: Candidacy,
    session: LakeSession,
    election: str,
    *,
    evaluation: ir.Table,
    train: Callable[[Evidence], Trained],
) -> dg.MaterializeResult[pa.Table]:
    """Train the form for which the evaluation speaks, judge it, and sign it if it passes.

    Args:
        candidacy: by what it is judged.
        session: a session that may read the models.
        election: the forecast.
        evaluation: the published evaluation of that forecast.
        train: trains the form that the evidence names.

    Returns:
        The candidate's row, its card, and a result for each judged check of the contract. One that fails any has no
        signature.

    Raises:
        TrainingError: there is too little to learn from.
        KeyFileError: the signing key cannot be used.
    """
    key = signing_key(session.settings)
    found = evidence_in(evaluation, level=candidacy.purpose.level, metric=candidacy.metric)
    trained = train(found)
    current = promoted(candidacy.contract, session, election, trusted=trusted_keys(session.settings))
    judged = judge(found, candidacy.bounds, current)
    parameters = {**trained.record.parameters, REFERENCE: reference(found, current)}
    trained = replace(trained, record=replace(trained.record, parameters=parameters))
    if all(check.passed for check in judged):
        trained = replace(trained, record=signed(trained.record, key))
    shown = card(
        candidacy.purpose,
        trained,
        found,
        candidacy.bounds,
        judged=judged,
        evaluation=evaluation.to_pyarrow().to_pylist(),
    )
    return dg.MaterializeResult(value=trained.table(), metadata=shown, check_results=judged)


def promoted(
    contract: Contract, session: LakeSession, election: str, *, trusted: Mapping[str, Ed25519PublicKey]
) -> ModelRecord | None:
    """The model that is published for that election now; ``None`` where there is none that a trusted key has signed."""
    entries = ledger.current(session, contract, [election])
    if not entries:
        return None
    rows = published_table(session, contract, entries, version=0).to_pyarrow().to_pylist()
    try:
        record = ModelRecord.of_row(rows[0])
        check_signature(record, trusted, source=f"Published model {record.name} of {election}")
    except (ArtifactError, IndexError):
        # What nobody trusts is no measure for others; a good candidate takes its place.
        return None
    return record
