"""Entry gates: checks on what rows are made from, beside those on the rows themselves.

Put here which gates such a table has. Keep out how events are judged at them, and the rules on rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRY_BLOCKS: Final = "no_blocking_entry_event"
ENTRY_WARNS: Final = "no_entry_event"

ENTRY_GATES: Final[Mapping[str, str]] = {
    ENTRY_BLOCKS: "No entry event that the policy blocks is in what the rows are made from, unless it was rejected.",
    ENTRY_WARNS: "Warns when an entry event that the policy lets pass is in what the rows are made from, "
    "unless it was rejected.",
}
"""Judged checks of every table that entry events can reach."""

ENTRY_WARNINGS: Final = frozenset({ENTRY_WARNS})
"""Those of them that warn."""
