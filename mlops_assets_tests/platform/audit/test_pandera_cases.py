"""Verdicts and numbers of failing rows are pandera's; ``MLOPS_ASSETS_TEST_CASES=10000`` looks at more of them."""

from __future__ import annotations

import os

import pytest

from mlops_assets_tests.platform.audit.pandera_cases import FRAMES, differences

CASES = int(os.environ.get("MLOPS_ASSETS_TEST_CASES", "300"))
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_every_rule_of_a_generated_contract_is_broken_by_as_many_rows_as_pandera_says(part: int) -> None:
    each = -(-CASES // PARTS)
    assert list(differences(each, first=part * -(-each // FRAMES))) == []
