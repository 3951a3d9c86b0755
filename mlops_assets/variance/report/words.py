"""Words: what a team calls its things and its measures, what causes are called, and figures as people write them.

Put here names and how a single figure, list or label is written. Keep out sentences of one page (``reports``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

_CAUSES: Final = {
    "boundary": ("redrawn", "{units} redrawn", "{entities} are in another {unit}, though nothing happened to them"),
    "renumbering": ("renumbered", "{units} renumbered", "{units} kept what they had under another number or name"),
    "units": ("came or went", "{units} came or went", "{units} opened, closed, or entered or left the data"),
    "population": ("more or fewer", "more or fewer {entities}", "{entities} came or went, or became other than before"),
    "entry": ("recorded otherwise", "recorded otherwise", "written down, coded or loaded in another way than before"),
    "unknown": ("cause unknown", "cause unknown", "more than ordinary, and the evidence does not tell why"),
    "movers": ("moved", "{entities} moved", "{entities} with another address than before"),
    "joiners": ("new", "new {entities}", "{entities} that are in the later data only"),
    "leavers": ("gone", "{entities} gone", "{entities} that are in the earlier data only"),
    "attributes": ("class changed", "class changed", "{entities} of another class than before"),
    "weighting": ("weight changed", "weight changed", "{entities} that stand for more or fewer than before"),
}
"""Of each cause what it does to a thing, what it is called, and what it means."""

_NOUN: Final = re.compile(r"[A-Za-z]{3,}")
_WHOLE_FROM: Final = 1000
_MINUS: Final = "\N{MINUS SIGN}"


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a team calls its things.

    Attributes:
        entity: one of what is counted, such as a customer.
        entities: several of them.
        unit: what they are counted by, such as a territory.
        units: several of them.
        group: what units belong to, such as a region.
        groups: several of them.
        measures: what columns of figures are called, where not as in the data.
    """

    entity: str = "entity"
    entities: str = "entities"
    unit: str = "unit"
    units: str = "units"
    group: str = "group"
    groups: str = "groups"
    measures: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def called(cls, *, entity: str = "", unit: str = "", group: str = "") -> Words:
        """Words from the names of columns, or from ``one,several`` where the plural is not a regular one.

        Args:
            entity: of what is counted.
            unit: of what it is counted by.
            group: of what units belong to.

        Returns:
            The words; what is no noun, such as ``customer_id`` or ``nr``, is called as if nothing were said.
        """
        plain = cls()
        one, several = _noun(entity) or (plain.entity, plain.entities)
        unit_, units = _noun(unit) or (plain.unit, plain.units)
        group_, groups = _noun(group) or (plain.group, plain.groups)
        return cls(entity=one, entities=several, unit=unit_, units=units, group=group_, groups=groups)

    def measure(self, column: str) -> str:
        """What a column of figures is called."""
        return self.measures.get(column, column.replace("_", " "))

    def done(self, cause: str) -> str:
        """What a cause does to one thing: ``redrawn``."""
        return self._told(cause, 0)

    def cause(self, cause: str) -> str:
        """What a cause is called: ``territories redrawn``."""
        return self._told(cause, 1)

    def meaning(self, cause: str) -> str:
        """What a cause means: ``customers are in another territory now, ...``."""
        return self._told(cause, 2)

    def _told(self, cause: str, place: int) -> str:
        said = _CAUSES.get(cause, (cause,) * 3)[place]
        return said.format(entities=self.entities, unit=self.unit, units=self.units)


def _noun(said: str) -> tuple[str, str] | None:
    one, _, several = (word.strip() for word in said.partition(","))
    if one and several:
        return one, several
    if not _NOUN.fullmatch(one):
        return None
    if re.search(r"[^aeiou]y$", one):
        return one, f"{one[:-1]}ies"
    return one, f"{one}es" if re.search(r"(s|x|z|ch|sh)$", one) else f"{one}s"


def counted(number_of: int, one: str, several: str) -> str:
    """A number of things: ``1 event``, ``1,200 events``."""
    return f"{number_of:,} {one if number_of == 1 else several}"


def number(value: float, *, signed: bool = False) -> str:
    """A figure with separators of thousands: whole from a thousand on, else with three digits that count."""
    size = abs(float(value))
    if not np.isfinite(size):
        return "–"  # noqa: RUF001  a dash stands for no figure
    if size < _WHOLE_FROM:
        size = float(f"{size:.3g}")
    whole = size >= _WHOLE_FROM or size.is_integer()
    text = f"{size:,.0f}" if whole else np.format_float_positional(size, trim="-")
    return f"{_sign(value, signed=signed)}{text}"


def percent(share: float, *, signed: bool = False) -> str:
    """A share of one as percent, with a decimal near nothing and near the whole."""
    size = abs(100.0 * share)
    if 0 < size < 0.1:  # noqa: PLR2004  less than what one decimal shows
        return "under 0.1 %"
    if 99.9 < size < 100:  # noqa: PLR2004  likewise
        return "over 99.9 %"
    digits = 0 if size >= 100 or 1 <= size <= 99 or size.is_integer() else 1  # noqa: PLR2004  in percent
    return f"{_sign(share, signed=signed)}{size:,.{digits}f} %"


def _sign(value: float, *, signed: bool) -> str:
    if value < 0:
        return _MINUS
    return "+" if signed and value > 0 else ""


def natural(label: str) -> tuple[tuple[int, str], ...]:
    """A key that puts labels in the order in which people count: 2 before 10."""
    return tuple((int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", label))


def fitted(label: str, letters: int) -> str:
    """A label of at most so many letters; what is left out shows as an ellipsis."""
    return label if len(label) <= letters else f"{label[: letters - 1].rstrip()}…"
