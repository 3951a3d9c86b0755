"""The audit: checking staged files against their contract in one scan.

Put here what is measured. Keep out the rules themselves (``rules``) and what an outcome says (``outcomes``).
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.platform.audit.outcomes import Audit, Broken, CheckOutcome, Judgement
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.content_hash import format_hash, hash_total
from mlops_assets.platform.contracts.schemas import as_stored
from mlops_assets.platform.contracts.volume import worded
from mlops_assets.platform.lake.catalog import literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import dagster as dg
    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.contracts.volume import Reference
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.lake.stage import StagedFile

SAMPLE_ROWS: Final = 5
_LONGEST_VALUE: Final = 60
MASK: Final = "***"
_STORED_SCALE: Final = 6
_VIEW: Final = "staged_rows"
_COMPILED: Final[dict[dg.AssetKey, tuple[Contract, list[str], str]]] = {}


def shape_problem(contract: Contract, actual: Mapping[str, dt.DataType]) -> str | None:
    """What is wrong with a table's columns and types, in words; ``None`` when nothing is."""
    expected = rules.columns_of(contract)
    words: list[str] = []
    if missing := [name for name in expected if name not in actual]:
        words.append(f"missing: {', '.join(missing)}")
    if extra := [name for name in actual if name not in expected]:
        words.append(f"unexpected: {', '.join(extra)}")
    wrong = [
        f"{name} is {actual[name].copy(nullable=True)}, not {kind}"
        for name, kind in expected.items()
        if name in actual and not _same(actual[name], kind)
    ]
    if wrong:
        words.append(f"types: {'; '.join(wrong)}")
    if not words:
        return None
    return (
        f"The table has {len(actual)} columns, contract {contract.layer}/{contract.table} expects {len(expected)} "
        f"({'. '.join(words)})."
    )


def _same(actual: dt.DataType, expected: dt.DataType) -> bool:
    """Whether a column is of the type as it is stored; an expression of Ibis may leave a time's precision open."""
    open_ended = actual.is_timestamp() and actual.scale in {None, _STORED_SCALE}
    return bool((as_stored(actual) if open_ended else actual.copy(nullable=True)) == expected)


def not_evaluated(contract: Contract, problem: str) -> Audit:
    """The audit of a table whose shape is wrong: ``shape`` failed, everything else could not be judged.

    Dagster wants a result for every check that a step declares. That of a check that was not evaluated has not passed,
    has the severity of a warning and the metadata ``evaluated: false``, by which it is told from a failure.
    """
    return Audit(
        rows=None,
        content_hash=None,
        outcomes=tuple(
            CheckOutcome(
                name=name,
                blocking=name == rules.SHAPE,
                problem=problem if name == rules.SHAPE else "Not evaluated: the table does not have the right shape.",
                evaluated=name == rules.SHAPE,
            )
            for name in rules.check_names(contract)
        ),
    )


def _volume_outcome(contract: Contract, rows: int, reference: Reference) -> CheckOutcome:
    """The outcome for that number of rows; one that a person accepts passes, and its reason tells of the bound."""
    bound = contract.volume.broken_bound(rows, reference.rows)
    reason = worded(rows, reference, bound)
    # One that failed as a warning would be published, and hold back the consumers that Dagster makes by itself.
    passed = bound is None or rows in reference.accepted
    return CheckOutcome(
        name=rules.VOLUME,
        blocking=True,
        problem=None if passed else reason,
        judgement=Judgement(passed=passed, reason=reason, measured={"rows": rows, "rows_before": reference.rows}),
    )


def audit(
    session: LakeSession,
    contract: Contract,
    staged: StagedFile,
    partition: Mapping[str, str],
    reference: Reference,
) -> Audit:
    """Check the staged rows against the contract: every count, the key and the content hash in one query.

    Failing rows are read again for a sample of at most five for each failed check, and only then.

    Args:
        session: a session that can read the staged file.
        contract: the contract to check against.
        staged: the staged file.
        partition: for each partition column, the value that every row must hold.
        reference: what the number of rows is judged beside.
    """
    session.connection.execute(
        f"CREATE OR REPLACE TEMP VIEW {_VIEW} AS SELECT * FROM read_parquet({literal(str(staged.path))})"
    )
    row_rules = rules.row_rules(contract)
    names, query = _measures(session, contract)
    for number, value in enumerate(partition.values()):
        query = query.replace(literal(_placeholder(number)), literal(value))
    row = session.connection.execute(query).fetchone()
    # An aggregate without groups always has one row.
    found = {name: int(value) for name, value in zip(names, row or (), strict=True)}
    keys = rules.key_columns(contract)
    table = _view(contract)

    outcomes = []
    for name, blocking in rules.check_names(contract).items():
        if name in contract.judged:
            continue
        if name == rules.VOLUME:
            outcomes.append(_volume_outcome(contract, found["rows"], reference))
            continue
        broken: list[Broken] = []
        if name == rules.KEYS and found["keys"] != found["rows"]:
            broken.append(Broken(", ".join(keys), "no two rows have the same key", found["rows"] - found["keys"]))
        elif name == rules.MEMBERSHIP:
            broken += [
                Broken(column, f"equals {value!r}", found[f"m_{column}"])
                for column, value in partition.items()
                if found[f"m_{column}"]
            ]
        broken += [
            Broken(rule.column, rule.text, found[f"r{number}"])
            for number, rule in enumerate(row_rules)
            if rule.group == name and found[f"r{number}"]
        ]
        sample: tuple[Mapping[str, str | None], ...] = ()
        if broken:
            sample = _sample(session, contract, _failing(table, contract, name, partition))
        outcomes.append(CheckOutcome(name=name, blocking=blocking, broken=tuple(broken), sample=sample))
    return Audit(rows=found["rows"], content_hash=format_hash(found["rows"], found["hash"]), outcomes=tuple(outcomes))


def _view(contract: Contract) -> ir.Table:
    return ibis.table(rules.columns_of(contract), name=_VIEW)


def _placeholder(number: int) -> str:
    return f"value of partition column {number}"


def _measures(session: LakeSession, contract: Contract) -> tuple[list[str], str]:
    """Names and query of all that is measured; compiled once for each contract, since it takes longer than it runs."""
    known = _COMPILED.get(contract.key)
    if known is not None and known[0] is contract:
        return known[1], known[2]
    table = _view(contract)
    keys = rules.key_columns(contract)
    measures: dict[str, ir.Scalar] = {
        "rows": table.count(),
        "hash": hash_total(table, rules.columns_of(contract)),
        "keys": _key(contract, table, keys).nunique() if keys else table.count(),
    }
    columns = [contract.partition_columns[dimension] for dimension in contract.dimensions]
    for number, column in enumerate(columns):
        measures[f"m_{column}"] = _breaking(table[column] == _placeholder(number))
    for number, rule in enumerate(rules.row_rules(contract)):
        measures[f"r{number}"] = _breaking(rule.holds(table))
    query = str(session.ibis.compile(table.aggregate(**measures)))
    _COMPILED[contract.key] = (contract, list(measures), query)
    return list(measures), query


def kept(holds: ir.BooleanValue) -> ir.BooleanValue:
    """Whether a rule is known to hold, never NULL."""
    # A rule that cannot be decided (NULL) is broken: what is not known to be good is not published.
    return holds.fill_null(False)  # noqa: FBT003


def _breaking(holds: ir.BooleanValue) -> ir.Scalar:
    return (~kept(holds)).sum().fill_null(0)


def _key(contract: Contract, table: ir.Table, keys: Sequence[str]) -> ir.Value:
    # A NULL is not counted, except in a struct; alone it is no repeated key.
    if len(keys) == 1 and not contract.schema.columns[keys[0]].nullable:
        return table[keys[0]]
    return ibis.struct({key: table[key] for key in keys})


def _failing(table: ir.Table, contract: Contract, check: str, partition: Mapping[str, str]) -> ir.Table:
    if check == rules.KEYS:
        keys = list(rules.key_columns(contract))
        repeated = table.group_by(keys).having(table.count() > 1).agg()
        return table.semi_join(repeated, keys).order_by(keys)
    return table.filter(~kept_by_check(table, contract, partition)[check])


def kept_by_check(table: ir.Table, contract: Contract, partition: Mapping[str, str]) -> dict[str, ir.BooleanValue]:
    """For each check of single rows whether a row of the table is known to pass it, never NULL."""
    holding: dict[str, list[ir.BooleanValue]] = {}
    for column, value in partition.items():
        holding.setdefault(rules.MEMBERSHIP, []).append(kept(table[column] == value))
    for rule in rules.row_rules(contract):
        holding.setdefault(rule.group, []).append(kept(rule.holds(table)))
    return {check: functools.reduce(operator.and_, holds) for check, holds in holding.items()}


def _sample(session: LakeSession, contract: Contract, failing: ir.Table) -> tuple[dict[str, str | None], ...]:
    columns = list(rules.columns_of(contract))
    return tuple(
        {column: _shown(contract, column, value) for column, value in zip(columns, row, strict=True)}
        for row in session.rows(failing.select(columns).limit(SAMPLE_ROWS))
    )


def _shown(contract: Contract, column: str, value: object) -> str | None:
    if value is None:
        return None
    if column in contract.personal:
        return MASK
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
