"""Rules: a contract's pandera checks as boolean expressions, and the few Dagster checks that report them.

Put here the translation from pandera, and which check reports what. Keep out running them (that is the audit).

Every rule has a kind. Those without a name of their own are reported together: what blocks by the check ``contract``,
what warns by ``contract_warnings``, because each check of Dagster costs a run three events. A rule with a name is a
check of its own, and the name is its kind.
"""

from __future__ import annotations

import functools
import operator
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.api.function_dispatch import Dispatcher
from pandera.api.ibis.types import IbisData

from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.identifiers import is_identifier

if TYPE_CHECKING:
    from mlops_assets.platform.contracts.contract import Contract

CONTRACT: Final = "contract"
"""The check that holds every blocking rule without a name of its own."""

CONTRACT_WARNINGS: Final = "contract_warnings"
"""The check that holds what only warns and has no name of its own."""

SHAPE: Final = "shape"
VOLUME: Final = "volume"
KEYS: Final = "keys"
MEMBERSHIP: Final = "partition_membership"
NULLS: Final = "nulls"
VALUES: Final = "values"
SET_ASIDE: Final = "quarantine"
NOT_SET_ASIDE: Final = "quarantine_refused"

_TAKEN: Final = frozenset(
    {CONTRACT, CONTRACT_WARNINGS, SHAPE, VOLUME, KEYS, MEMBERSHIP, NULLS, VALUES, SET_ASIDE, NOT_SET_ASIDE}
)
"""The two checks and the kinds, which no rule and no judged check may be called."""

QUARANTINE: Final = "_quarantine"
"""What a quarantine's table is called, after its own table's name."""

QUARANTINE_REASON: Final = "quarantined_because"
"""The column of a quarantine's table that tells the rules that each row breaks."""

QUARANTINE_PARTITION: Final = "quarantined_from"
"""The column of a quarantine's table that holds the partition its rows came in; they may name another, or none."""

_LONGEST_TEXT: Final = 300
# Names that pandera gives its built-in checks when the contract gives none.
_BUILTIN_CHECKS: Final = frozenset(pa.Check.CHECK_FUNCTION_REGISTRY)


# Ibis publishes no types, so its decorator is untyped. It has no name for a function of any type but None.
@ibis.udf.scalar.builtin(name="isfinite", signature=((None,), dt.boolean))  # type: ignore[untyped-decorator]
def _isfinite(value: object) -> object:
    """DuckDB's answer whether a number is neither NaN nor infinite, and whether a date or time is not infinite."""


def _finite(value: ir.Value) -> ir.BooleanValue:
    """Whether a value, and whatever is nested in it, is finite; what is NULL is."""
    kind = value.type()
    if kind.is_array():
        return value.filter(lambda each: ~_finite(each)).length().fill_null(0) == 0
    if kind.is_map():
        parts = [value.keys(), value.values()]
    elif kind.is_struct():
        parts = [value[name] for name in kind.names]
    else:
        return _isfinite(value).fill_null(True)  # noqa: FBT003
    return functools.reduce(operator.and_, [_finite(part) for part in parts if may_be_infinite(part.type())])


# DuckDB orders NaN above every number and takes neither it nor an infinity for NULL: no other rule would see them.
_FINITE: Final = pa.Check(lambda data: _finite(data.table[data.key]), error="is finite")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One row rule: its kind, which column, and how the contract words it.

    Attributes:
        kind: ``nulls`` or ``values``; its name, if the contract gives it one.
        column: the column concerned; ``None`` for a rule across columns.
        text: the rule in words, such as ``isin(['GA', 'NC'])``.
        check: the pandera check; ``None`` for the built-in rule of that kind.
        warn: whether a failure warns instead of blocking.
    """

    kind: str
    column: str | None
    text: str
    check: pa.Check | None
    warn: bool

    @property
    def reported_by(self) -> str:
        """The Dagster check that reports it."""
        if self.kind not in _TAKEN:
            return self.kind
        return CONTRACT_WARNINGS if self.warn else CONTRACT

    def holds(self, table: ir.Table) -> ir.BooleanValue:
        """An expression that is true for every row that keeps the rule, false or NULL for one that breaks it.

        Raises:
            ContractError: the check does not return one boolean for each row.
        """
        if self.check is None:
            return table[self.column].notnull()
        # Calling the check's function itself gives an expression over the table's own columns; calling the check would
        # add a positional join for each rule, and with it one more scan.
        function = self.check._check_fn  # noqa: SLF001
        built_in = isinstance(function, Dispatcher)
        if built_in:
            # A check made before the built-in checks knew Ibis keeps a dispatcher that does not.
            function = pa.Check.get_builtin_check_fn(function.__name__)
        outcome = function(IbisData(table, self.column), **self.check._check_kwargs)  # noqa: SLF001
        if isinstance(outcome, ir.Table):
            outcome = _projected(outcome, table)
        if not isinstance(outcome, ir.BooleanValue):
            raise ContractError(
                source=f"Rule {self.kind} ({self.text})",
                culprit=f"it returns {type(outcome).__name__}, not one boolean for each row.",
                remedy="Return a boolean expression over data.table.",
            )
        if self.column is not None and self.check.ignore_na:
            return outcome | table[self.column].isnull()
        # None of them knows what is NULL. Of a list without values Ibis makes one answer, for whatever row.
        return outcome & table[self.column].notnull() if built_in and self.column is not None else outcome


def _projected(outcome: ir.Table, table: ir.Table) -> object:
    """The one expression of a projection of the table, which is what pandera's built-in checks return."""
    projection = outcome.op()
    if not isinstance(projection, ops.Project) or projection.parent != table.op() or len(projection.values) != 1:
        return outcome
    return next(iter(projection.values.values())).to_expr()


def columns_of(contract: Contract) -> dict[str, dt.DataType]:
    """The contract's columns in order, with their Ibis types as they are stored."""
    return {name: column.dtype.type for name, column in contract.schema.columns.items()}


def quarantine_columns_of(contract: Contract) -> dict[str, dt.DataType]:
    """The columns of the contract's quarantine table: its own, why a row was set aside, and from which partition."""
    return {**columns_of(contract), QUARANTINE_REASON: dt.string, QUARANTINE_PARTITION: dt.string}


def quarantine_hashed(contract: Contract) -> list[str]:
    """The columns of the quarantine table that its content hash is made of: a rule's wording makes no other rows."""
    return [*columns_of(contract), QUARANTINE_PARTITION]


def key_columns(contract: Contract) -> tuple[str, ...]:
    """The columns of the contract's key; empty when it declares none."""
    unique: Any = contract.schema.unique
    if not unique:
        return ()
    return (unique,) if isinstance(unique, str) else tuple(unique)


def listed_values(contract: Contract) -> dict[str, tuple[Any, ...]]:
    """For each column that a blocking rule (``isin``) holds to some values, these, sorted."""
    listed: dict[str, set[Any]] = {}
    for rule in row_rules(contract):
        if rule.column is None or rule.warn or rule.check is None:
            continue
        function = rule.check._check_fn  # noqa: SLF001
        if isinstance(function, Dispatcher) and function.__name__ == "isin":
            values = set(rule.check._check_kwargs["allowed_values"])  # noqa: SLF001
            listed[rule.column] = listed.get(rule.column, values) & values
    return {
        column: tuple(sorted(values, key=lambda value: (str(type(value)), value))) for column, values in listed.items()
    }


def may_be_infinite(kind: dt.DataType) -> bool:
    """Whether a column of that type can hold infinities or NaN, be it nested."""
    if kind.is_array():
        return may_be_infinite(kind.value_type)
    if kind.is_map():
        return may_be_infinite(kind.key_type) or may_be_infinite(kind.value_type)
    if kind.is_struct():
        return any(may_be_infinite(of) for of in kind.types)
    return bool(kind.is_floating() or kind.is_date() or kind.is_timestamp())


def row_rules(contract: Contract) -> list[Rule]:
    """Every rule that a single row can keep or break, in the contract's order.

    Raises:
        ContractError: a rule's name is unusable, or means a warning and a blocking rule.
    """
    schema = contract.schema
    rules: list[Rule] = []
    for name, column in schema.columns.items():
        if not column.nullable:
            rules.append(Rule(kind=NULLS, column=name, text="is not null", check=None, warn=False))
        if may_be_infinite(column.dtype.type) and name not in contract.non_finite:
            rules.append(Rule(kind=VALUES, column=name, text=str(_FINITE.error), check=_FINITE, warn=False))
        rules.extend(_rule(contract, check, name) for check in column.checks)
    rules.extend(_rule(contract, check, None) for check in schema.checks)
    warnings: dict[str, bool] = {}
    for rule in rules:
        if warnings.setdefault(rule.reported_by, rule.warn) != rule.warn:
            raise ContractError(
                source=f"Contract {contract.layer}/{contract.table}",
                culprit=f"the rule {rule.kind} both warns and blocks.",
                remedy="Give the warning a name of its own.",
            )
    return rules


def _rule(contract: Contract, check: pa.Check, column: str | None) -> Rule:
    kind = VALUES if check.name is None or check.name in _BUILTIN_CHECKS else check.name
    if check.name == kind and (not is_identifier(kind) or kind in _TAKEN):
        raise ContractError(
            source=f"Contract {contract.layer}/{contract.table}",
            culprit=f"the rule name {kind!r} is taken or not made of lower-case letters, digits and underscores.",
            remedy="Rename the check.",
        )
    if check.element_wise:
        raise ContractError(
            source=f"Contract {contract.layer}/{contract.table}",
            culprit=f"the rule {kind!r} works on single Python values and would leave the engine.",
            remedy="Write it as an expression over data.table.",
        )
    text = str(check.error or check.name or VALUES)[:_LONGEST_TEXT]
    return Rule(kind=kind, column=column, text=text, check=check, warn=bool(check.raise_warning))


def check_names(contract: Contract) -> dict[str, bool]:
    """The names of the contract's Dagster checks in order, and whether each blocks.

    Raises:
        ContractError: a rule is unusable, or a judged check has the name of a rule.
    """
    rules = row_rules(contract)
    names = {CONTRACT: True}
    if _held(contract, CONTRACT_WARNINGS, rules):
        names[CONTRACT_WARNINGS] = False
    names |= {rule.reported_by: not rule.warn for rule in rules}
    if taken := sorted(_TAKEN.union(names).intersection(contract.judged)):
        raise ContractError(
            source=f"Contract {contract.layer}/{contract.table}",
            culprit=f"{', '.join(taken)} are both rules and judged checks.",
            remedy="Rename the judged ones.",
        )
    return {**names, **{name: name not in contract.judged_warnings for name in contract.judged}}


def check_of_keys(contract: Contract) -> str:
    """The check that reports a repeated key."""
    return CONTRACT_WARNINGS if contract.duplicate_keys_warn else CONTRACT


def check_specs(contract: Contract) -> list[dg.AssetCheckSpec]:
    """The contract's checks as Dagster declares them, partitioned like the table."""
    rules = row_rules(contract)
    return [
        dg.AssetCheckSpec(
            name=name,
            asset=contract.key,
            description=contract.judged.get(name) or _describe(contract, name, rules),
            blocking=blocking,
            partitions_def=contract.partitions_def,
        )
        for name, blocking in check_names(contract).items()
    ]


def _describe(contract: Contract, name: str, rules: list[Rule]) -> str:
    if held := _held(contract, name, rules):
        follows = "nothing is published" if name == CONTRACT else "the data flows on"
        return f"Where one is broken, {follows}. {'; '.join(f'{kind}: {words}' for kind, words in held.items())}."
    own = [rule for rule in rules if rule.kind == name]
    words = [f"{rule.column}: {rule.text}" if rule.column else rule.text for rule in own]
    severity = "Warns when broken. " if any(rule.warn for rule in own) else ""
    return f"{severity}{'; '.join(words)}"[:500]


def _held(contract: Contract, name: str, rules: list[Rule]) -> dict[str, str]:
    """What one of the two checks without a rule's name holds, in words by kind; nothing for any other check."""
    held: dict[str, str] = {}
    if name == CONTRACT:
        held[SHAPE] = "columns and types, no more and no less"
        if contract.volume.bounded:
            held[VOLUME] = contract.volume.text
        if contract.partition_columns:
            held[MEMBERSHIP] = f"each row's {', '.join(contract.partition_columns.values())}"
    if name == check_of_keys(contract) and key_columns(contract):
        held[KEYS] = f"no two rows with the same {', '.join(key_columns(contract))}"
    for kind, number in Counter(rule.kind for rule in rules if rule.reported_by == name and rule.kind != name).items():
        held[kind] = f"{number} {'columns' if kind == NULLS else 'rules'}"
    if name == CONTRACT_WARNINGS and contract.quarantine is not None:
        held[SET_ASIDE] = f"rows set aside in {contract.table}{QUARANTINE}"
    return held
