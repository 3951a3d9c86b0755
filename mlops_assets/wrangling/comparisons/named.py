"""Named events of a comparison: what was found, with an id that people can judge it by, and what they said of it.

Put here what makes a finding an event. Keep out how it is found.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from mlops_assets.wrangling.comparisons.tables import JUDGED_AS, MAP_CAUSES, OPEN, REJECTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[str, Any]

FEWEST_GROUPS: Final = 8
LEAST_PROBABLE_ALONE: Final = 0.99
"""How probable a change of the map must be where fewer than ``FEWEST_GROUPS`` are compared: one redrawn makes the
others seem redrawn too."""
LEAST_PROBABLE_OF_FEW: Final = 0.9
"""The same of every other cause there: what is ordinary was learned from few groups, and probabilities are as rough."""

_ID_DIGITS: Final = 12
_SEPARATOR: Final = "\x1f"
_OUTGROWN: Final = 2.0
"""So many times what was judged is something else: who rejected 25 repeated rows has not rejected 500,000."""
_TINY: Final = 1e-6
_NUMBERS: Final = {"probability": pa.float64(), "size": pa.float64(), "share": pa.float64(), "cuts": pa.bool_()}
_COLUMNS: Final = (
    "event_id", "compared_with", "cause", "kind", "name", "probability", "units", "size", "size_unit", "share",
    "evidence", "judgement", "judged_by", "notes", "cuts",
)  # fmt: skip
_WORDS: Final = {
    "boundary": "{units} redrawn",
    "renumbering": "{units} renumbered",
    "units": "{units} came or went",
    "entry": "entry of {units} changed",
    "population": "population of {units} moved",
    "unknown": "{units} changed, the cause cannot be told",
}


def is_named(change: Row, probable: float) -> bool:
    """Whether a row of a panel's changes is probable enough to be an event.

    Args:
        change: of any cause but ``none``.
        probable: from which probability.
    """
    if change["groups"] >= FEWEST_GROUPS:
        return bool(change["probability"] >= probable)
    least = LEAST_PROBABLE_ALONE if change["cause"] in MAP_CAUSES else LEAST_PROBABLE_OF_FEW
    return bool(change["probability"] >= max(probable, least))


def linked_event(found: Row, *, before: str | None, entities: str) -> dict[str, Any]:
    """An event of linked entities.

    Args:
        found: a row of ``variance.linked.events``.
        before: the time before.
        entities: what the entities are called.
    """
    return {
        "compared_with": before or "",
        **{name: found[name] for name in ("cause", "kind", "name", "units", "share", "evidence")},
        "probability": 1.0,
        "size": float(found["persons"]),
        "size_unit": entities,
    }


def detected_event(found: Row, *, group: str, units: str, of: str) -> dict[str, Any]:
    """An event that was detected in a panel.

    Args:
        found: a row of the table ``changes`` of any cause but ``none``.
        group: the column of the group.
        units: what the units are called.
        of: what the panel is called.
    """
    return {
        group: found[group],
        **{name: found[name] for name in ("compared_with", "cause", "probability", "units", "evidence")},
        "kind": "detected",
        "name": f"{_WORDS[found['cause']].format(units=units)}, by {of}",
        "size": found["magnitude"],
        "size_unit": "share of units" if found["cause"] == "renumbering" else "log change",
        "share": None,
    }


def events_table(
    events: Iterable[Row], verdicts: Sequence[Row], partition: Mapping[str, str], *, of: str, group: str | None
) -> pa.Table:
    """Rows of the table ``events``.

    Args:
        events: of one partition, from ``linked_event`` or ``detected_event``.
        verdicts: rows of the table ``verdicts`` of that partition.
        partition: the value of each partition column.
        of: the name of the comparison.
        group: the column of the group, of a panel.
    """
    rows = [
        {**event, **partition, **_said(event, event_id(event, partition, of=of, group=group), verdicts)}
        for event in events
    ]
    names = (*partition, *(() if group is None else (group,)), *_COLUMNS)
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, _NUMBERS.get(name, pa.string())) for name in names]))


def event_id(event: Row, partition: Mapping[str, str], *, of: str, group: str | None) -> str:
    """The id of an event: the same whenever the same is found again, whatever its size and evidence."""
    whom = "" if group is None else event[group]
    text = _SEPARATOR.join([of, *partition.values(), whom, event["cause"], event["name"]])
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]


def _said(event: Row, own_id: str, verdicts: Sequence[Row]) -> dict[str, Any]:
    """What people said of an event; the latest confirmation or rejection stands, until the event is twice as large."""
    own = sorted((row for row in verdicts if row["event_id"] == own_id), key=lambda row: row["number"])
    judging = [
        row
        for row in own
        if row["verdict"] in JUDGED_AS and abs(event["size"]) < _OUTGROWN * max(abs(row["size"]), _TINY)
    ]
    judgement = JUDGED_AS[judging[-1]["verdict"]] if judging else OPEN
    return {
        "event_id": own_id,
        "judgement": judgement,
        "judged_by": judging[-1]["by"] if judging else "",
        "notes": "; ".join(f"{row['by']}: {row['note']}" for row in own if row["note"]),
        "cuts": event["cause"] in MAP_CAUSES and judgement != REJECTED,
    }
