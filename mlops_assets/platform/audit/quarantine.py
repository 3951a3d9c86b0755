"""Quarantine: setting failing rows aside, when a contract allows it and enough rows are good.

Put here the split into good and failing rows. Keep out the rules (``rules``) and the publish itself (``publish``).
"""

from __future__ import annotations

import dataclasses
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis

from mlops_assets.platform.audit.audit import SAMPLE_ROWS, Candidate, audit, row_rules_kept
from mlops_assets.platform.audit.outcomes import Audit, Broken
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.conditions import joined
from mlops_assets.platform.contracts.content_hash import format_hash, hash_total
from mlops_assets.platform.lake.files import parquet_rows
from mlops_assets.platform.lake.ledger import QuarantineRecord
from mlops_assets.platform.lake.stage import stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.platform.audit.outcomes import CheckOutcome
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.lake.stage import StagedFile


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Good and failing rows in files of their own.

    Attributes:
        audit: that of the good rows; its warnings tell also what the others broke.
        good: the rows to publish.
        bad: the rows set aside.
        record: their number and content hash.
    """

    audit: Audit
    good: StagedFile
    bad: StagedFile
    record: QuarantineRecord


def set_aside(session: LakeSession, contract: Contract, candidate: Candidate, *, found: Audit) -> Settled | Audit:
    """Split the staged rows, if the contract declares a quarantine and the good rows reach its floor.

    Args:
        session: a session that can read the staged file.
        contract: the table.
        candidate: the staged rows.
        found: what the audit found of them.

    Returns:
        The two files, or the audit where its failure has to block: no quarantine declared, a failure that is not one of
        rows (a repeated key), or too few good rows, which the audit then tells.
    """
    if contract.quarantine is None or not found.rows:
        return found
    stopping = [outcome for outcome in found.outcomes if outcome.stops]
    kinds = {broken.kind for outcome in stopping for broken in outcome.broken} - {rules.VOLUME}
    if not kinds or any(outcome.name in contract.judged for outcome in stopping):
        return found
    if rules.KEYS in kinds:
        return _blocking(found, stopping[0].name, "of rows with one key, none can be told to be the wrong one")
    path = candidate.file.path
    table = session.ibis.sql(f"SELECT * FROM {parquet_rows(path)}")
    blocking = rules.check_names(contract)
    kept = [
        (rule, keeps) for check, rule, keeps in row_rules_kept(table, contract, candidate.partition) if blocking[check]
    ]
    good = joined(operator.and_, [keeps for _, keeps in kept])
    [(number,)] = session.rows(good.sum().name("number"))
    floor = contract.quarantine.floor
    if number / found.rows < floor:
        few = f"{number} of {found.rows} rows keep every rule, fewer than the share of {floor:g}"
        return _blocking(found, stopping[0].name, f"{few} from which the others are set aside")
    attempt = path.parent.name
    good_file = stage(session, contract, table.filter(good), attempt=f"{attempt}-good")
    (again,) = audit(session, contract, [dataclasses.replace(candidate, file=good_file)])
    if again.stops:
        good_file.remove()
        why = "; ".join(outcome.description or outcome.name for outcome in again.outcomes if outcome.stops)
        return _blocking(found, stopping[0].name, f"were the failing rows set aside, the others would fail ({why})")
    broken = [ibis.ifelse(keeps, ibis.null("string"), rule.words) for rule, keeps in kept]
    # It leaves out what is NULL.
    reasons = ibis.literal("; ").join(broken)
    came_in = {column: ibis.literal(value) for column, value in contract.quarantine_values(candidate.partition).items()}
    bad = table.filter(~good).mutate(**{rules.QUARANTINE_REASON: reasons}, **came_in)
    bad_file = stage(
        session,
        dataclasses.replace(contract, table=contract.table + rules.QUARANTINE),
        bad,
        columns=rules.quarantine_columns_of(contract),
        attempt=f"{attempt}-bad",
    )
    of_good_rows = {outcome.name: outcome for outcome in again.outcomes}
    of_good_rows[rules.CONTRACT_WARNINGS] = _warning(of_good_rows[rules.CONTRACT_WARNINGS], stopping)
    outcomes = tuple(of_good_rows.get(outcome.name, outcome) for outcome in found.outcomes)
    return Settled(
        audit=dataclasses.replace(again, outcomes=outcomes),
        good=good_file,
        bad=bad_file,
        record=_recorded(session, contract, bad_file),
    )


def _blocking(found: Audit, check: str, why: str) -> Audit:
    """The audit, of which that check says also why the failing rows were not set aside."""
    told = Broken(rules.NOT_SET_ASIDE, None, why, None)
    return dataclasses.replace(
        found,
        outcomes=tuple(
            dataclasses.replace(outcome, broken=(*outcome.broken, told)) if outcome.name == check else outcome
            for outcome in found.outcomes
        ),
    )


def _warning(warnings: CheckOutcome, stopping: Sequence[CheckOutcome]) -> CheckOutcome:
    """The warnings of the good rows, and what those set aside broke."""
    broken = [broken for outcome in stopping for broken in outcome.broken if broken.kind != rules.VOLUME]
    sample = [row for outcome in stopping for rows in outcome.samples.values() for row in rows]
    told = [dataclasses.replace(each, kind=rules.SET_ASIDE, text=f"{each.text} ({each.kind})") for each in broken]
    return dataclasses.replace(
        warnings,
        broken=(*warnings.broken, *told),
        samples={**warnings.samples, rules.SET_ASIDE: tuple(sample[:SAMPLE_ROWS])},
    )


def _recorded(session: LakeSession, contract: Contract, bad: StagedFile) -> QuarantineRecord:
    table = session.ibis.sql(f"SELECT * FROM {parquet_rows(bad.path)}")
    totals = table.aggregate(rows=table.count(), total=hash_total(table, rules.quarantine_hashed(contract)))
    [(rows, total)] = session.rows(totals)
    return QuarantineRecord(rows=rows, content_hash=format_hash(rows, int(total)))
