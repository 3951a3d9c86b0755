"""Quarantine: setting failing rows aside, when a contract allows it and enough rows are good.

Put here the split into good and failing rows. Keep out the rules (``rules``) and the publish itself (``publish``).
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis

from mlops_assets.platform.audit.audit import audit, kept
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.lake.catalog import literal
from mlops_assets.platform.lake.stage import relation_sql, stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir

    from mlops_assets.platform.audit.audit import Audit
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.lake.stage import StagedFile


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Good and failing rows in files of their own.

    Attributes:
        audit: rows and content hash of the good rows; the failed checks as warnings.
        good: the rows to publish.
        bad: the rows set aside.
    """

    audit: Audit
    good: StagedFile
    bad: StagedFile


def set_aside(
    session: LakeSession, contract: Contract, staged: StagedFile, partition: Mapping[str, str], *, found: Audit
) -> Settled | None:
    """Split the staged rows, if the contract declares a quarantine and the good rows reach its floor.

    Returns:
        The two files, or ``None`` when the audit's failure has to block: no quarantine declared, too few good rows, or
        a failure that is not one of rows (a repeated key among the good ones).
    """
    if contract.quarantine is None or not found.rows:
        return None
    whole = {rules.SHAPE, rules.KEYS, *contract.judged}
    if any(outcome.stops and outcome.name in whole for outcome in found.outcomes):
        return None
    table = session.ibis.sql(f"SELECT * FROM read_parquet({literal(str(staged.path))})")
    judged = _judgements(table, contract, partition)
    good = functools.reduce(operator.and_, judged.values())
    share = session.connection.execute(str(session.ibis.compile(good.mean().name("share")))).fetchall()[0][0]
    if share < contract.quarantine.floor:
        return None
    columns = rules.columns_of(contract)
    attempt = staged.path.parent.name
    good_file = stage(
        session, contract, relation_sql(session, table.filter(good)), columns=columns, attempt=f"{attempt}-good"
    )
    again = audit(session, contract, good_file, partition)
    if again.stops:
        good_file.remove()
        return None
    reasons = functools.reduce(
        operator.add, (ibis.ifelse(holds, "", f"{name} ") for name, holds in judged.items())
    ).strip()
    bad = table.filter(~good).mutate(**{rules.QUARANTINE_REASON: reasons})
    bad_file = stage(
        session,
        dataclasses.replace(contract, table=contract.table + rules.QUARANTINE),
        relation_sql(session, bad),
        columns=rules.quarantine_columns_of(contract),
        attempt=f"{attempt}-bad",
    )
    outcomes = tuple(dataclasses.replace(outcome, quarantined=outcome.stops) for outcome in found.outcomes)
    return Settled(
        audit=dataclasses.replace(again, outcomes=outcomes),
        good=good_file,
        bad=bad_file,
    )


def _judgements(table: ir.Table, contract: Contract, partition: Mapping[str, str]) -> dict[str, ir.BooleanValue]:
    judged: dict[str, ir.BooleanValue] = {}
    for column, value in partition.items():
        holds = kept(table[column] == value)
        judged[rules.MEMBERSHIP] = judged[rules.MEMBERSHIP] & holds if rules.MEMBERSHIP in judged else holds
    for rule in rules.row_rules(contract):
        if not rule.warn:
            holds = kept(rule.holds(table))
            judged[rule.group] = judged[rule.group] & holds if rule.group in judged else holds
    return judged
