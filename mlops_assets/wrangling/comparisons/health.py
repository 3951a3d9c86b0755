"""Health of a comparison: checks that stop it where two partitions cannot be laid side by side.

Put here how findings become results of checks. Keep out how they are found (``variance.linked.health``), and the gates
of entry events (``gate``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.platform.settings import EntryAction
from mlops_assets.variance.linked.findings import PARTIAL_LOAD, READDRESSED, REISSUED, REKEYED, UNLINKED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.platform.settings import EntryPolicy
    from mlops_assets.variance.linked.findings import Finding

WARNS: Final = "comparable"
CHECKS: Final[Mapping[str, str]] = {
    "not_re_keyed": "Entities of the time before link, and to themselves: no identifiers were reissued.",
    "not_partly_loaded": "No unit, nor the whole, lost or gained most of its entities at once.",
    "not_readdressed": "Addresses did not change for nearly all entities at once.",
    WARNS: "Warns when one of these was found and the policy lets it pass.",
}
"""Judged checks of the changes of linked entities."""

_STOPPED: Final = {
    "not_re_keyed": ("re_keyed", (REKEYED, REISSUED, UNLINKED)),
    "not_partly_loaded": ("partly_loaded", (PARTIAL_LOAD,)),
    "not_readdressed": ("readdressed", (READDRESSED,)),
}
"""For each blocking check the field of the policy, and what is found."""


def judged(found: Sequence[Finding], policy: EntryPolicy) -> list[dg.AssetCheckResult]:
    """One result for each of ``CHECKS``.

    Args:
        found: what is wrong with the comparison.
        policy: what each finding does.
    """
    blocked = {
        check: [finding for finding in found if finding.name in names and getattr(policy, what) is EntryAction.BLOCK]
        for check, (what, names) in _STOPPED.items()
    }
    stopped = [finding for own in blocked.values() for finding in own]
    told = {**blocked, WARNS: [finding for finding in found if finding not in stopped]}
    return [_judgement(check, told[check]) for check in CHECKS]


def _judgement(check: str, findings: Sequence[Finding]) -> dg.AssetCheckResult:
    if not findings:
        return dg.AssetCheckResult(check_name=check, passed=True, description="Nothing of this kind was found.")
    return dg.AssetCheckResult(
        check_name=check,
        passed=False,
        description=" ".join(finding.text for finding in findings),
        metadata={
            f"{finding.name.replace('-', '_').replace(' ', '_')}_{name}": float(value)
            for finding in findings
            for name, value in finding.figures.items()
            if math.isfinite(value)
        },
    )
