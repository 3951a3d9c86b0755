"""The audit: checking staged files against their contract in one scan.

Put here what is measured and how an outcome is worded. Keep out the rules themselves (``rules``) and what follows from
an outcome (``assets.step``).
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis

from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.content_hash import format_hash, hash_total
from mlops_assets.platform.contracts.schemas import as_stored
from mlops_assets.platform.contracts.volume import worded
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake.catalog import literal
from mlops_assets.platform.lake.files import parquet_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


@dataclass(frozen=True)
class Broken:
    """One rule that rows break: its column, its wording, and how many rows."""

    column: str | None
    text: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a step found of its own table where a rule over rows cannot (see ``Contract.judged``).

    Attributes:
        passed: whether the table may be published.
        reason: why, in one sentence with the numbers.
        measured: what was compared, by name; JSON values, never personal ones.
        warns: whether this failure warns, although the check blocks.
    """

    passed: bool
    reason: str
    measured: Mapping[str, float | str | None] = field(default_factory=dict)
    warns: bool = False


@dataclass(frozen=True, kw_only=True)
class CheckOutcome:
    """The outcome of one named check.

    Attributes:
        name: the check.
        blocking: whether a failure blocks the publish.
        broken: the rules that rows break; empty when the check passed.
        problem: what is wrong when no row can be named, such as a missing column.
        sample: failing rows, personal values masked.
        judgement: what was found of the table as a whole, by the step or in its number of rows.
        evaluated: whether the check could be judged at all; if not, it has neither passed nor failed.
    """

    name: str
    blocking: bool
    broken: tuple[Broken, ...] = ()
    problem: str | None = None
    sample: tuple[Mapping[str, str | None], ...] = ()
    judgement: Judgement | None = None
    evaluated: bool = True

    @property
    def passed(self) -> bool:
        """Whether no row breaks any rule of the check."""
        return not self.broken and self.problem is None

    @property
    def stops(self) -> bool:
        """Whether this outcome keeps the partition from being published."""
        return self.blocking and not self.passed

    @property
    def failing_rows(self) -> int:
        """Rows that break the check's rules; a row that breaks two counts twice."""
        return sum(broken.rows for broken in self.broken)

    def as_record(self) -> dict[str, Any]:
        """The outcome as plain JSON values, from which its event can be rebuilt."""
        return {
            "name": self.name,
            "passed": self.passed,
            "blocking": self.blocking,
            "problem": self.problem,
            "broken": [[broken.column, broken.text, broken.rows] for broken in self.broken],
            **({"judgement": dataclasses.asdict(self.judgement)} if self.judgement is not None else {}),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> CheckOutcome:
        """The outcome that ``as_record`` described, without its sample."""
        return cls(
            name=record["name"],
            blocking=record["blocking"],
            problem=record["problem"],
            broken=tuple(Broken(column, text, rows) for column, text, rows in record["broken"]),
            judgement=Judgement(**record["judgement"]) if "judgement" in record else None,
        )

    def metadata(self, contract: Contract, partition_key: str | None) -> dict[str, Any]:
        """Dagster metadata: counts, rules and the masked sample; who owns the table and which partition it is."""
        metadata: dict[str, Any] = {"owners": ", ".join(contract.owners)}
        if partition_key is not None:
            metadata["partition"] = partition_key
        if not self.evaluated:
            metadata["evaluated"] = False
        if self.problem is not None:
            metadata["problem"] = self.problem
        if self.judgement is not None:
            metadata["reason"] = self.judgement.reason
            metadata["measured"] = dg.MetadataValue.json(dict(self.judgement.measured))
        if self.broken:
            metadata["failing_rows"] = self.failing_rows
            metadata["broken_rules"] = dg.TableMetadataValue(
                records=[
                    dg.TableRecord({"column": b.column or "", "rule": b.text[:300], "rows": b.rows})
                    for b in self.broken
                ],
                schema=dg.TableSchema(
                    columns=[
                        dg.TableColumn("column", "string"),
                        dg.TableColumn("rule", "string"),
                        dg.TableColumn("rows", "int"),
                    ]
                ),
            )
        if self.sample:
            metadata["sample"] = dg.MetadataValue.json([dict(row) for row in self.sample])
        return metadata


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What one scan of a staged file found.

    Attributes:
        rows: number of rows; ``None`` when the shape was wrong and nothing was scanned.
        content_hash: content hash of the rows; ``None`` likewise.
        outcomes: one outcome for each check of the contract, in its order; those that the step judges come last.
    """

    rows: int | None
    content_hash: str | None
    outcomes: Sequence[CheckOutcome] = field(default_factory=tuple)

    @property
    def stops(self) -> bool:
        """Whether the partition must not be published."""
        return any(outcome.stops for outcome in self.outcomes)


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
    return (
        f"The table has {len(actual)} columns, contract {contract.layer}/{contract.table} expects {len(expected)} "
        f"({'. '.join(words)})."
    )


def _told(contract: Contract, kind: dt.DataType) -> str:
    return type(kind).__name__.lower() if contract.personal and kind.is_nested() else str(kind.copy(nullable=True))


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


def judged_outcomes(contract: Contract, judgements: Mapping[str, Judgement]) -> tuple[CheckOutcome, ...]:
    """The outcomes of the checks that the step judges itself.

    Raises:
        ContractError: a judged check of the contract has no judgement, or a judgement has no check.
    """
    if set(judgements) != set(contract.judged):
        raise ContractError(
            source=f"Asset {contract.layer}/{contract.table}",
            culprit=f"it has results of the checks {', '.join(sorted(judgements)) or '(none)'}, and declares "
            f"{', '.join(sorted(contract.judged)) or 'none'}.",
            remedy="Return one result for each declared check: check_results of a MaterializeResult, for check_specs.",
        )
    return tuple(
        CheckOutcome(
            name=name,
            blocking=name not in contract.judged_warnings and not judged.warns,
            problem=None if judged.passed else judged.reason,
            judgement=judged,
        )
        for name, judged in ((name, judgements[name]) for name in contract.judged)
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
    session.connection.execute(f"CREATE OR REPLACE TEMP VIEW {_VIEW} AS SELECT * FROM {parquet_rows(staged.path)}")
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
    if check == rules.MEMBERSHIP:
        judged = [kept(table[column] == value) for column, value in partition.items()]
    else:
        judged = [kept(rule.holds(table)) for rule in rules.row_rules(contract) if rule.group == check]
    return table.filter(~functools.reduce(operator.and_, judged))


def _sample(session: LakeSession, contract: Contract, failing: ir.Table) -> tuple[dict[str, str | None], ...]:
    columns = list(rules.columns_of(contract))
    cursor = session.connection.execute(str(session.ibis.compile(failing.select(columns).limit(SAMPLE_ROWS))))
    return tuple(
        {column: _shown(contract, column, value) for column, value in zip(columns, row, strict=True)}
        for row in cursor.fetchall()
    )


def _shown(contract: Contract, column: str, value: object) -> str | None:
    if value is None:
        return None
    if column in contract.personal:
        return MASK
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
