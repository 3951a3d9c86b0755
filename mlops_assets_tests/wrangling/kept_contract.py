"""Asking whether a table keeps its contract, with the platform's own rules.

Put here the question for tests of transforms. Keep out tests of the rules themselves.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import ibis

from mlops_assets.platform.audit import audit
from mlops_assets.platform.contracts import rules

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.contract import Contract


@functools.cache
def engine() -> ibis.BaseBackend:
    """One DuckDB in memory for the tests of a process; a new one for each question takes most of its time."""
    return ibis.duckdb.connect()


def kept_rows(table: ir.Table, contract: Contract, *, but: str = "") -> list[dict[str, Any]]:
    """The rows in the order of the contract's key, after asserting shape, types, nulls, values and key.

    Args:
        table: the rows.
        contract: what they are to keep.
        but: a rule that they may break.
    """
    assert audit.shape_problem(contract, table.schema()) is None
    arrow = engine().to_pyarrow(table)
    assert set(broken_rules(ibis.memtable(arrow, schema=table.schema()), contract, but=but)) == set()
    keys = rules.key_columns(contract)
    result: list[dict[str, Any]] = arrow.to_pylist()
    assert len({tuple(row[key] for key in keys) for row in result}) == len(result), f"repeated {keys}"
    return sorted(result, key=lambda row: tuple(row[key] for key in keys))


def broken_rules(rows: ir.Table, contract: Contract, *, but: str = "") -> list[str]:
    """The rules of the contract, but for that one, that some row breaks, in words."""
    row_rules = [rule for rule in rules.row_rules(contract) if rule.kind != but]
    counts = {f"rule_{n}": (~audit.kept(rule.holds(rows))).sum() for n, rule in enumerate(row_rules)}
    (found,) = engine().to_pyarrow(rows.aggregate(**counts)).to_pylist()
    return [f"{rule.column} {rule.text}" for n, rule in enumerate(row_rules) if found[f"rule_{n}"]]
