"""The audit: checking staged files against their contract in one scan.

Put here what is measured. Keep out the rules themselves (``rules``) and what an outcome says (``outcomes``).
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import ibis

from mlops_assets.platform.audit.outcomes import Audit, Broken, CheckOutcome, Judgement
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.conditions import joined
from mlops_assets.platform.contracts.content_hash import format_hash, hash_total
from mlops_assets.platform.contracts.schemas import as_stored
from mlops_assets.platform.contracts.volume import worded
from mlops_assets.platform.lake.files import parquet_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import dagster as dg
    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir

    from mlops_assets.platform.audit.outcomes import Sample
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.contracts.volume import Reference
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.lake.stage import StagedFile

SAMPLE_ROWS: Final = 5
_LONGEST_VALUE: Final = 60
MASK: Final = "***"
_NOT_EVALUATED: Final = "Not evaluated: the table does not have the right shape."
_STORED_SCALE: Final = 6
_VIEW: Final = "staged_rows"
# No contract has a column of that name.
_FILE: Final = "staged/file"
_GATHERING: Final = "enable_caching_operators"
_PARTS: Final = 32
_COMPILED: Final[dict[tuple[dg.AssetKey, bool], tuple[Contract, list[str], str]]] = {}


def shape_problem(contract: Contract, actual: Mapping[str, dt.DataType]) -> str | None:
    """What is wrong with a table's columns and types, in words; ``None`` when nothing is.

    Of a contract with personal columns only the contract's own names are told. Others may be values: those of a first
    row, where a file has no header, or the keys of what became a struct.
    """
    expected = rules.columns_of(contract)
    words: list[str] = []
    if missing := [name for name in expected if name not in actual]:
        words.append(f"missing: {', '.join(missing)}")
    if extra := [name for name in actual if name not in expected]:
        words.append(f"unexpected: {len(extra)}, not named" if contract.personal else f"unexpected: {', '.join(extra)}")
    wrong = [
        f"{name} is {_told(contract, actual[name])}, not {kind}"
        for name, kind in expected.items()
        if name in actual and not _same(actual[name], kind)
    ]
    if wrong:
        words.append(f"types: {'; '.join(wrong)}")
    if not words:
        return None
    return f"The table is not of the shape of contract {contract.layer}/{contract.table} ({'. '.join(words)})."


def _told(contract: Contract, kind: dt.DataType) -> str:
    return type(kind).__name__.lower() if contract.personal and kind.is_nested() else str(kind.copy(nullable=True))


def _same(actual: dt.DataType, expected: dt.DataType) -> bool:
    """Whether a column is of the type as it is stored; an expression of Ibis may leave a time's precision open."""
    open_ended = actual.is_timestamp() and actual.scale in {None, _STORED_SCALE}
    return bool((as_stored(actual) if open_ended else actual.copy(nullable=True)) == expected)


def of_wrong_shape(contract: Contract, problem: str) -> Audit:
    """The audit of a table whose shape is wrong: nothing else of it could be judged.

    Dagster wants a result for every check that a step declares: the others have not passed, and warn of that.
    """
    broken = Broken(rules.SHAPE, None, "other columns or types than the contract's", None)
    others = [name for name in rules.check_names(contract) if name != rules.CONTRACT]
    return Audit(
        rows=None,
        content_hash=None,
        outcomes=(
            CheckOutcome(name=rules.CONTRACT, blocking=True, broken=(broken,), problem=problem),
            *(CheckOutcome(name=name, blocking=False, problem=_NOT_EVALUATED) for name in others),
        ),
    )


def _judged_volume(contract: Contract, rows: int, reference: Reference) -> Judgement | None:
    """What is found of that number of rows; one that a person accepts passes, and its reason tells of the bound."""
    if not contract.volume.bounded:
        return None
    bound = contract.volume.broken_bound(rows, reference.rows)
    return Judgement(
        # One that failed as a warning would be published, and hold back the consumers that Dagster makes by itself.
        passed=bound is None or rows in reference.accepted,
        reason=worded(rows, reference, bound),
        measured={"rows": rows, "rows_before": reference.rows},
    )


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The staged rows of a partition, and what they are judged by.

    Attributes:
        file: the staged file.
        partition: for each partition column, the value that every row must hold.
        reference: what the number of rows is judged beside.
    """

    file: StagedFile
    partition: Mapping[str, str]
    reference: Reference


def audit(session: LakeSession, contract: Contract, candidates: Sequence[Candidate]) -> list[Audit]:
    """Check the staged rows of partitions against their contract: all counts, keys and content hashes in one query.

    Failing rows are read again for a sample of at most five for each kind of rule that is broken, and only then.

    Args:
        session: a session that can read the staged files.
        contract: the contract to check against.
        candidates: the partitions, at least one.

    Returns:
        For each of them what was found.
    """
    _show(session, [candidate.file.path for candidate in candidates])
    # Without groups the engine counts a fifth faster, and most audits are of one file.
    one = str(candidates[0].file.path) if len(candidates) == 1 else None
    names, query = _measures(session, contract, by_file=one is None)
    found = session.connection.execute(query).fetchall()
    measured = {one: found[0]} if one is not None else {path: values for path, *values in found}
    nothing = [0] * len(names)
    return [
        _judged(session, contract, each, dict(zip(names, measured.get(str(each.file.path), nothing), strict=True)))
        for each in candidates
    ]


def _judged(session: LakeSession, contract: Contract, candidate: Candidate, found: Mapping[str, Any]) -> Audit:
    """The outcomes of a partition's checks, by what was measured of it."""
    partition = candidate.partition
    rows = int(found["rows"])
    outside = dict.fromkeys(partition, 0)
    for column, value in partition.items():
        if rows and (found[f"null_{column}"] or {found[f"least_{column}"], found[f"most_{column}"]} != {value}):
            outside[column] = _count(session, candidate, _elsewhere(_view(contract), {column: value}))
    volume = _judged_volume(contract, rows, candidate.reference)
    checks = {name: blocks for name, blocks in rules.check_names(contract).items() if name not in contract.judged}
    broken: dict[str, list[Broken]] = {name: [] for name in checks}
    if volume is not None and not volume.passed:
        broken[rules.CONTRACT].append(Broken(rules.VOLUME, None, volume.reason, None))
    keys = rules.key_columns(contract)
    if keys and (repeated := rows - _distinct(session, contract, candidate, found, outside)):
        told = Broken(rules.KEYS, ", ".join(keys), "no two rows have the same key", repeated)
        broken[rules.check_of_keys(contract)].append(told)
    broken[rules.CONTRACT] += [
        _elsewhere_told(column, value, outside[column]) for column, value in partition.items() if outside[column]
    ]
    for number, rule in enumerate(rules.row_rules(contract)):
        if breaking := int(found[f"r{number}"]):
            broken[rule.reported_by].append(Broken(rule.kind, rule.column, rule.text, breaking))
    outcomes = tuple(
        CheckOutcome(
            name=name,
            blocking=blocks,
            broken=tuple(broken[name]),
            samples=_samples(session, contract, candidate, name, broken[name]),
            judgement=volume if name == rules.CONTRACT else None,
        )
        for name, blocks in checks.items()
    )
    return Audit(rows=rows, content_hash=format_hash(rows, int(found["hash"])), outcomes=outcomes)


def _show(session: LakeSession, paths: Sequence[Path]) -> None:
    """Let the view of staged rows show those of these files."""
    rows = parquet_rows(*paths, file=_FILE)
    session.connection.execute(f"CREATE OR REPLACE TEMP VIEW {_VIEW} AS SELECT * FROM {rows}")


def _count(session: LakeSession, candidate: Candidate, rows: ir.Table) -> int:
    _show(session, [candidate.file.path])
    [(number,)] = session.rows(rows.count().name("rows"))
    return int(number)


def _distinct(
    session: LakeSession,
    contract: Contract,
    candidate: Candidate,
    found: Mapping[str, Any],
    outside: Mapping[str, int],
) -> int:
    """How many keys there are; what was measured of them leaves out the partition's columns, which hold one value."""
    if not any(outside.values()):
        return int(found["keys"])
    table = _view(contract)
    return _count(session, candidate, table.select(*rules.key_columns(contract)).distinct())


def _view(contract: Contract) -> ir.Table:
    return ibis.table({**rules.columns_of(contract), _FILE: "string"}, name=_VIEW)


def _measures(session: LakeSession, contract: Contract, *, by_file: bool) -> tuple[list[str], str]:
    """Names and query of all that is measured; compiled once for each contract, since it takes longer than it runs."""
    known = _COMPILED.get((contract.key, by_file))
    if known is not None and known[0] is contract:
        return known[1], known[2]
    table = _view(contract)
    measures: dict[str, ir.Scalar] = {
        "rows": table.count(),
        "hash": hash_total(table, rules.columns_of(contract)),
        "keys": _keys(contract, table),
    }
    for column in contract.partition_columns.values():
        measures[f"null_{column}"] = table[column].isnull().any()
        measures[f"least_{column}"] = table[column].min()
        measures[f"most_{column}"] = table[column].max()
    for number, rule in enumerate(rules.row_rules(contract)):
        measures[f"r{number}"] = _breaking(rule.holds(table))
    rows = table.group_by(_FILE) if by_file else table
    query = str(session.ibis.compile(rows.aggregate(**measures)))
    _COMPILED[contract.key, by_file] = (contract, list(measures), query)
    return list(measures), query


def kept(holds: ir.BooleanValue) -> ir.BooleanValue:
    """Whether a rule is known to hold, never NULL."""
    # A rule that cannot be decided (NULL) is broken: what is not known to be good is not published.
    return holds.fill_null(False)  # noqa: FBT003


def _breaking(holds: ir.BooleanValue) -> ir.Scalar:
    return (~kept(holds)).sum().fill_null(0)


def _keys(contract: Contract, table: ir.Table) -> ir.Scalar:
    """How many different keys there are among rows that hold the same values in the partition's columns."""
    keys = [key for key in rules.key_columns(contract) if key not in contract.partition_columns.values()]
    if not keys:
        return (table.count() > 0).cast("int64") if rules.key_columns(contract) else table.count()
    # A NULL is not counted, except in a struct; alone it is no repeated key.
    if len(keys) == 1 and not contract.schema.columns[keys[0]].nullable:
        return table[keys[0]].nunique() + table[keys[0]].isnull().any().cast("int64").fill_null(0)
    return ibis.struct({key: table[key] for key in keys}).nunique()


def row_rules_kept(
    table: ir.Table, contract: Contract, partition: Mapping[str, str]
) -> list[tuple[str, Broken, ir.BooleanValue]]:
    """Each rule over single rows: the check that reports it, the rule, and whether a row is known to keep it."""
    members = [
        (rules.CONTRACT, _elsewhere_told(column, value, None), kept(table[column] == value))
        for column, value in partition.items()
    ]
    others = [
        (rule.reported_by, Broken(rule.kind, rule.column, rule.text, None), kept(rule.holds(table)))
        for rule in rules.row_rules(contract)
    ]
    return [*members, *others]


def _elsewhere_told(column: str, value: str, rows: int | None) -> Broken:
    return Broken(rules.MEMBERSHIP, column, f"equals {value!r}", rows)


def _elsewhere(table: ir.Table, partition: Mapping[str, str]) -> ir.Table:
    """The rows that do not belong to the partition."""
    return table.filter(
        ~functools.reduce(operator.and_, [kept(table[name] == said) for name, said in partition.items()])
    )


def _samples(
    session: LakeSession, contract: Contract, candidate: Candidate, check: str, broken: Sequence[Broken]
) -> dict[str, Sample]:
    """Some failing rows for each kind of rule of the check that rows break."""
    kinds = {each.kind: each.rows for each in broken if each.rows is not None}
    if not kinds:
        return {}
    _show(session, [candidate.file.path])
    table = _view(contract)
    broken_by = [
        (rule.kind, ~keeps)
        for told_by, rule, keeps in row_rules_kept(table, contract, candidate.partition)
        if told_by == check
    ]
    found = {
        kind: _repeated_sample(session, contract, rows)
        if kind == rules.KEYS
        else _sample(
            session, contract, table.filter(joined(operator.or_, [breaks for of, breaks in broken_by if of == kind]))
        )
        for kind, rows in kinds.items()
    }
    return {kind: sample for kind, sample in found.items() if sample}


def _repeated_sample(session: LakeSession, contract: Contract, repeated: int) -> Sample:
    """Some rows whose key is another's too."""
    # Counting all keys once more takes a tenth of the whole audit. Of many repeated ones a part holds enough.
    if repeated > _PARTS * SAMPLE_ROWS and (shown := _sample(session, contract, _repeated(contract, parts=_PARTS))):
        return shown
    return _sample(session, contract, _repeated(contract, parts=1))


def _repeated(contract: Contract, *, parts: int) -> ir.Table:
    """The rows whose key, no part of it NULL, is another's too, of those with keys in the first of so many parts."""
    table, keys = _view(contract), list(rules.key_columns(contract))
    known = table.filter([table[key].notnull() for key in keys])
    if parts > 1:
        known = known.filter(functools.reduce(operator.xor, [known[key].hash() for key in keys]) % parts == 0)
    # As many keys as rows are shown, so that the engine need not read the columns of all rows to find theirs.
    repeated = known.group_by(keys).having(known.count() > 1).agg().order_by(keys).limit(SAMPLE_ROWS)
    return table.semi_join(repeated, keys).order_by(keys)


def _sample(session: LakeSession, contract: Contract, failing: ir.Table) -> Sample:
    columns = list(rules.columns_of(contract))
    # The engine gathers the few rows that pass a filter until they are two thousand. It would read the whole file for
    # the five that are wanted.
    session.connection.execute(f"SET {_GATHERING} = false")
    try:
        rows = session.rows(failing.select(columns).limit(SAMPLE_ROWS))
    finally:
        session.connection.execute(f"RESET {_GATHERING}")
    return tuple(
        {column: _shown(contract, column, value) for column, value in zip(columns, row, strict=True)} for row in rows
    )


def _shown(contract: Contract, column: str, value: object) -> str | None:
    if value is None:
        return None
    if column in contract.masked:
        return MASK
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
