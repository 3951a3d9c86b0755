"""Entry gates: which events stop features, and that what nobody looked at does not pass as harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
import pyarrow as pa
import pytest

from mlops_assets.contracts.events import RESULT_VERDICTS
from mlops_assets.contracts.gates import ENTRY_BLOCKS, ENTRY_WARNS
from mlops_assets.contracts.variance import RESULT_CHANGES
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.settings import EntryAction, EntryPolicy
from mlops_assets.wrangling.entry_gates import of_detected_changes

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.contract import Contract

BLOCKING = EntryPolicy(detected=EntryAction.BLOCK)


def _table(contract: Contract, *rows: dict[str, object]) -> ir.Table:
    kinds = {name: kind.to_pyarrow() for name, kind in rules.columns_of(contract).items()}
    return ibis.memtable(pa.Table.from_pylist(list(rows), schema=pa.schema(kinds)))


def _doubled(probability: float) -> ir.Table:
    change = {
        "state": "NC", "compared_with": "2020", "states": 50, "cause": "entry", "probability": probability,
        "magnitude": 0.69, "units": "all", "evidence": "twice as many", "election": "2022",
    }  # fmt: skip
    return _table(RESULT_CHANGES, change)


def _passed(changes: ir.Table, policy: EntryPolicy, *unseen: str) -> tuple[bool, bool]:
    judged = of_detected_changes(changes, _table(RESULT_VERDICTS), policy, table=RESULT_CHANGES.table, unseen=unseen)
    passed = {check.check_name: check.passed for check in judged}
    return passed[ENTRY_BLOCKS], passed[ENTRY_WARNS]


@pytest.mark.parametrize(("probability", "passed"), [(0.9, False), (0.4, True)])
def test_only_what_is_probable_enough_to_be_an_event_stops_features(probability: float, *, passed: bool) -> None:
    # Of the others variance/events says nothing, so nobody could reject them.
    assert _passed(_doubled(probability), BLOCKING) == (passed, True)


def test_what_nobody_looked_at_counts_as_the_worst_that_the_policy_knows() -> None:
    nothing_found = _table(RESULT_CHANGES)
    assert _passed(nothing_found, BLOCKING) == (True, True)
    assert _passed(nothing_found, BLOCKING, "2022") == (False, True)
    assert _passed(nothing_found, EntryPolicy(), "2022") == (True, False)
