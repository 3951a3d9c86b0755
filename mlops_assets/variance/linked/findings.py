"""What can be wrong with two linked snapshots: names, thresholds with their reasons, and what a finding says.

Put here what callers see of a finding. Keep out how it is found (``identifier_rules``, ``completeness_rules``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

REKEYED: Final = "re-keyed"
"""Identifiers were reissued: the entities are there under others."""

REISSUED: Final = "reissued identifiers"
"""Identifiers link, but to other entities than before."""

UNLINKED: Final = "unlinked"
"""Hardly any entity links, and the other columns do not say that they are there under other identifiers."""

PARTIAL_LOAD: Final = "partial load"
"""Units, or all of them, lost or gained most of their entities at once: one of the two was not loaded whole."""

READDRESSED: Final = "readdressed"
"""Addresses changed for nearly all entities at once: they are written in another way."""

NAMES: Final = (REKEYED, REISSUED, UNLINKED, PARTIAL_LOAD, READDRESSED)
"""All that can be wrong."""

LEAST: Final = 20
"""Fewer entities are never named, as with events: with 10 % leaving ordinarily, 20 of 50 do in one of 40 million
units."""

HARDLY: Final = 0.1
"""Hardly any entity links up to this share of the smaller snapshot. Identifiers that are numbered anew from 1 may link
by accident, and so do some of two files of one table."""

LOST: Final = 0.4
"""A unit that lost this share, with nobody in their place, was loaded in part. Purges of registers and yearly attrition
stay below 0.2; half of a file must be found in spite of ordinary joiners."""

LOST_OF_HISTORY: Final = 0.2
"""The same where earlier pairs tell what is ordinary: of those who ordinarily stay."""

MOVED: Final = 0.75
"""Addresses of this share of all who link changed: nobody moves so. In ten years a third to a half of people do."""

MOVED_OF_HISTORY: Final = 0.5
"""The same where earlier pairs tell what is ordinary: of those who ordinarily stay."""

AGREEING: Final = 0.5
"""Share beyond chance to which other columns must say that entities are there under other identifiers. Simulated
registers that were re-keyed have 0.76 to 1 where 1 or 3 % leave and as many move, 0.54 to 1 at 10 %; other people in
the same homes have 0, by their addresses alone 0.4."""

PARTLY: Final = 0.02
"""Identifiers of at least this share must have been reissued to be named where most were not."""

ASSOCIATED: Final = 0.5
"""Where no column before tells as much as this of itself after (Cramér's V), links are of other entities."""

MOST_UNITS: Final = 0.75
"""Where so many of the larger units are concerned, and all together are, it happened to all: small ones vary."""

FEWEST_PAIRS: Final = 3
"""With fewer earlier pairs what is ordinary is not known."""


ASK_FOR_IDENTIFIERS: Final = (
    "Ask who makes the table which identifier took the place of which, and whether a key was changed; give both "
    "snapshots the same identifiers."
)
"""The remedy where identifiers were reissued."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What the caller calls things.

    Attributes:
        entities: such as ``customers``.
        unit: such as ``territory``.
        earlier: the earlier snapshot, such as ``2024-01``.
        later: the later one.
    """

    entities: str = "entities"
    unit: str = "unit"
    earlier: str = "the earlier snapshot"
    later: str = "the later one"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        name: one of ``NAMES``.
        units: those concerned, sorted; ``("all",)`` for the whole snapshot.
        figures: what it was judged by.
        sentence: what was seen, in the caller's words.
        remedy: what to do.
    """

    name: str
    units: tuple[str, ...]
    figures: Mapping[str, float]
    sentence: str
    remedy: str

    @property
    def text(self) -> str:
        """Name, sentence and remedy."""
        return f"{self.name}: {self.sentence} {self.remedy}"
