"""Outcomes: what an audit found, check by check, as it is kept in the lake and told to Dagster.

Put here how an outcome is worded and recorded, and the verdicts that a step reaches of its own table. Keep out the scan
(``audit``) and what follows from an outcome (``assets.step``).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import dagster as dg

from mlops_assets.platform.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlops_assets.platform.contracts.contract import Contract


Sample: TypeAlias = "tuple[Mapping[str, str | None], ...]"
"""Rows as they are shown."""


@dataclass(frozen=True)
class Broken:
    """One rule that is broken.

    Attributes:
        kind: the rule's kind, such as ``values``; the name of one that has a name.
        column: the column concerned, if it is one.
        text: the rule in words.
        rows: how many rows break it; ``None`` where the table as a whole does.
    """

    kind: str
    column: str | None
    text: str
    rows: int | None

    @property
    def words(self) -> str:
        """All of it in one line."""
        broken_by = "" if self.rows is None else f", broken by {self.rows} rows"
        return f"{self.kind}: {f'{self.column} ' if self.column else ''}{self.text}{broken_by}"


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
        broken: the rules that are broken; empty when the check passed.
        problem: what is wrong where rows are not at fault, such as a missing column.
        samples: failing rows by the kind of rule that they break, personal values masked.
        judgement: what was found of the table as a whole, by the step or in its number of rows.
    """

    name: str
    blocking: bool
    broken: tuple[Broken, ...] = ()
    problem: str | None = None
    samples: Mapping[str, Sample] = field(default_factory=dict)
    judgement: Judgement | None = None

    @property
    def passed(self) -> bool:
        """Whether no rule of the check is broken."""
        return not self.broken and self.problem is None

    @property
    def stops(self) -> bool:
        """Whether this outcome keeps the partition from being published."""
        return self.blocking and not self.passed

    @property
    def severity(self) -> dg.AssetCheckSeverity:
        """Error for an outcome that blocks when it fails, else warning."""
        return dg.AssetCheckSeverity.ERROR if self.blocking else dg.AssetCheckSeverity.WARN

    @property
    def failing_rows(self) -> int:
        """Rows that break the check's rules; a row that breaks two counts twice."""
        return sum(broken.rows or 0 for broken in self.broken)

    @property
    def description(self) -> str | None:
        """What is wrong, in one line; ``None`` when the check passed."""
        return self.problem or "; ".join(broken.words for broken in self.broken) or None

    def as_record(self) -> dict[str, Any]:
        """The outcome as plain JSON values, from which its event can be rebuilt."""
        return {
            "name": self.name,
            "passed": self.passed,
            "blocking": self.blocking,
            "problem": self.problem,
            "broken": [dataclasses.astuple(broken) for broken in self.broken],
            **({"judgement": dataclasses.asdict(self.judgement)} if self.judgement is not None else {}),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> CheckOutcome:
        """The outcome that ``as_record`` described, without its samples."""
        return cls(
            name=record["name"],
            blocking=record["blocking"],
            problem=record["problem"],
            broken=tuple(Broken(*each) for each in record["broken"]),
            judgement=Judgement(**record["judgement"]) if "judgement" in record else None,
        )

    def metadata(self, contract: Contract, partition_key: str | None) -> dict[str, Any]:
        """Dagster metadata: counts, rules and masked samples; who owns the table and which partition it is."""
        metadata: dict[str, Any] = {"owners": ", ".join(contract.owners)}
        if partition_key is not None:
            metadata["partition"] = partition_key
        if self.problem is not None:
            metadata["problem"] = self.problem
        if self.judgement is not None:
            metadata["reason"] = self.judgement.reason
            metadata["measured"] = dg.MetadataValue.json(dict(self.judgement.measured))
        if self.failing_rows:
            metadata["failing_rows"] = self.failing_rows
        if self.broken:
            metadata["broken_rules"] = _table(self.broken)
        if self.samples:
            metadata["sample"] = dg.MetadataValue.json(
                {kind: [dict(row) for row in rows] for kind, rows in self.samples.items()}
            )
        return metadata


_BROKEN_RULES: Final = ("kind", "column", "rule", "rows")
"""The columns of the table of broken rules in a check's metadata."""


def _table(broken: Iterable[Broken]) -> dg.TableMetadataValue:
    rows = [(each.kind, each.column or "", each.text, each.rows) for each in broken]
    return dg.TableMetadataValue(
        records=[dg.TableRecord(dict(zip(_BROKEN_RULES, row, strict=True))) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name, "int" if name == "rows" else "string") for name in _BROKEN_RULES]),
    )


def broken_in(metadata: Mapping[str, dg.MetadataValue[Any]]) -> list[Broken]:
    """The rules that a check's metadata, as ``CheckOutcome`` words it, says to be broken; none of any other's."""
    table = metadata.get("broken_rules")
    if not isinstance(table, dg.TableMetadataValue) or tuple(c.name for c in table.schema.columns) != _BROKEN_RULES:
        return []
    return [
        Broken(
            kind=str(record.data["kind"]),
            column=str(record.data["column"]) or None,
            text=str(record.data["rule"]),
            rows=rows if isinstance(rows := record.data["rows"], int) else None,
        )
        for record in table.records
    ]


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
    outcomes: Sequence[CheckOutcome]

    @property
    def stops(self) -> bool:
        """Whether the partition must not be published."""
        return any(outcome.stops for outcome in self.outcomes)


def judged_outcomes(contract: Contract, results: Iterable[dg.AssetCheckResult]) -> tuple[CheckOutcome, ...]:
    """The outcomes of the checks that the step judges itself.

    Args:
        contract: declares the checks.
        results: one for each of them; that of an only one needs no name.

    Raises:
        ContractError: a judged check of the contract has no result, or a result has no check.
    """
    only = next(iter(contract.judged)) if len(contract.judged) == 1 else ""
    given = {result.check_name or only: result for result in results}
    if set(given) != set(contract.judged):
        raise ContractError(
            source=f"Asset {contract.layer}/{contract.table}",
            culprit=f"it has results of the checks {', '.join(sorted(given)) or '(none)'}, and declares "
            f"{', '.join(sorted(contract.judged)) or 'none'}.",
            remedy="Return one result for each declared check: check_results of a MaterializeResult, for check_specs.",
        )
    return tuple(_judged(name, given[name], blocking=name not in contract.judged_warnings) for name in contract.judged)


def _judged(name: str, result: dg.AssetCheckResult, *, blocking: bool) -> CheckOutcome:
    judgement = Judgement(
        passed=result.passed,
        reason=result.description or ("Passed." if result.passed else "Failed."),
        measured={name: _plain(entry.value) for name, entry in result.metadata.items()},
        warns=result.severity is dg.AssetCheckSeverity.WARN,
    )
    return CheckOutcome(
        name=name,
        blocking=blocking and not judgement.warns,
        problem=None if judgement.passed else judgement.reason,
        judgement=judgement,
    )


def _plain(value: object) -> float | str | None:
    return value if isinstance(value, float | int | str | None) else str(value)
