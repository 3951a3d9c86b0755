"""Names: every word by which a contract means a column, a check or a lake, looked up when the contract is made.

Put here the look-up and its words. Keep out what the names are used for. A misspelt name would otherwise guard nothing
and say nothing: no personal value masked, no key audited.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

import ibis
import ibis.expr.types as ir
from ibis.common.exceptions import IbisError

from mlops_assets.platform.contracts import rules, subjects
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from mlops_assets.platform.contracts.contract import Contract

_NO_SUCH_COLUMN: Final = re.compile(r"Column '(.+?)' is not found")


def require_known_names(contract: Contract) -> None:
    """Refuse a contract that names what does not exist, or a column where it may not be.

    Raises:
        ContractError: a column, check or lake that is named does not exist; a column is rounded or may be infinite and
            its type has neither; a rule is unusable; or columns are personal in a lake that is not for personal data.
    """
    source = f"Contract {contract.layer}/{contract.table}"
    if not isinstance(contract.lake, Lake):
        raise ContractError(
            source=source,
            culprit=f"its lake is {contract.lake!r}, which is no declared lake.",
            remedy="Declare one by Lake(name), and name it here.",
        )
    columns = rules.columns_of(contract)
    _require_tellable(source, columns)
    for place, names in _columns_named(contract).items():
        _require_known(source, place, names, columns, kind="column")
    for name in contract.partition_columns.values():
        if not columns[name].is_string():
            raise ContractError(
                source=source,
                culprit=f"its partition column {name} is {columns[name]}.",
                remedy="Make it a string with the partition's key, beside the column that has the date or number.",
            )
    _require_known(source, "judged_warnings", contract.judged_warnings, contract.judged, kind="judged check")
    for place, names, fits in (
        ("decimals", contract.decimals, lambda kind: kind.is_floating()),
        ("non_finite", contract.non_finite, rules.may_be_infinite),
    ):
        for name in sorted(names):
            if not fits(columns[name]):
                raise ContractError(
                    source=source,
                    culprit=f"the column {name!r} has the metadata {place!r} and is {columns[name]}.",
                    remedy="Take it out, or give the column another type.",
                )
    if contract.personal and not contract.lake.personal:
        raise ContractError(
            source=source,
            culprit=f"its columns {', '.join(sorted(contract.personal))} are personal, the lake {contract.lake} is not "
            "for personal data.",
            remedy="Leave them out (a pseudonym may stay), or put the table into a lake for personal data.",
        )
    if told := sorted(contract.personal.intersection(contract.partition_columns.values())):
        raise ContractError(
            source=source,
            culprit=f"its partition columns {', '.join(told)} are personal, and a partition's key stands in events, "
            "tags of runs and catalogs.",
            remedy="Partition it by something else, such as the month in which the rows came.",
        )
    _require_usable_rules(contract, source, columns)


def _require_tellable(source: str, columns: Iterable[str]) -> None:
    """Refuse columns that the engine or a quarantine could not tell apart."""
    known: dict[str, str] = {}
    for name in columns:
        other = known.setdefault(name.lower(), name)
        if other == name and name.lower() not in {rules.QUARANTINE_REASON, rules.QUARANTINE_PARTITION}:
            continue
        raise ContractError(
            source=source,
            culprit=f"its column {name!r} is called like {'one of a quarantine' if other == name else repr(other)}; "
            "upper and lower case are one to the engine.",
            remedy="Rename it.",
        )


def _columns_named(contract: Contract) -> Mapping[str, Iterable[str]]:
    return {
        "partition_columns": contract.partition_columns.values(),
        "unique": rules.key_columns(contract),
        "subject": [name for kind in contract.subject for name in subjects.columns_of(contract, kind)],
    }


def _require_known(source: str, place: str, names: Iterable[str], known: Collection[str], *, kind: str) -> None:
    for name in sorted(set(names) - set(known)):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        raise ContractError(
            source=source,
            culprit=f"{place} names the {kind} {name!r}, which does not exist.",
            remedy=f"Did you mean {near[0]!r}?" if near else f"It has no {kind}s: take it out.",
        )


def _require_usable_rules(contract: Contract, source: str, columns: Mapping[str, object]) -> None:
    """Build each rule's expression: that is where it names its columns."""
    rules.check_names(contract)
    table = ibis.table(columns, name="rows")
    for rule in rules.row_rules(contract):
        try:
            rule.holds(table)
        except (AttributeError, IbisError, TypeError, ValueError) as error:
            if isinstance(error, AttributeError):
                asked = [error.name or ""] if isinstance(error.obj, ir.Table) else []
            else:
                asked = _NO_SUCH_COLUMN.findall(str(error))
            _require_known(source, f"the rule {rule.kind}", asked, columns, kind="column")
            raise ContractError(
                source=source,
                culprit=f"the rule {rule.kind} is no expression over its columns ({str(error).splitlines()[0]}).",
                remedy="Correct the check.",
            ) from error
