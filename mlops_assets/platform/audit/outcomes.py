"""Outcomes: what an audit found, check by check, as it is kept in the lake and told to Dagster.

Put here how an outcome is worded and recorded, and the verdicts that a step reaches of its own table. Keep out the scan
(``audit``) and what follows from an outcome (``assets.step``).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.platform.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlops_assets.platform.contracts.contract import Contract


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
    def severity(self) -> dg.AssetCheckSeverity:
        """Error for an outcome that blocks when it fails, else warning."""
        return dg.AssetCheckSeverity.ERROR if self.blocking else dg.AssetCheckSeverity.WARN

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
