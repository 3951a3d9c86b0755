"""Segments of persons, as a model's cells name them and its evaluation reports them.

Put here which segment a person is in. Keep out which segments there are and what is expected of them (wrangling's), and
how errors are measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.contracts.segmentation import POOLED, SEGMENTED_BY

if TYPE_CHECKING:
    import ibis.expr.types as ir

SEGMENT: Final = "segment"
EXPECTED: Final = "segment_turnout"
UNKNOWN: Final = ""
"""Label where segments are not known."""

_PLACE: Final = ("election", "state")


def with_segments(persons: ir.Table, segments: pa.Table | None) -> ir.Table:
    """Name each person's segment, and the turnout that earlier elections let expect of it.

    Args:
        persons: rows of ``features/person_turnout``.
        segments: rows of ``features/segment_turnout`` of one forecast; ``None`` or no rows where they are not known.

    Returns:
        The persons with ``segment`` and ``segment_turnout``. Who is in no segment of the table is in the small ones,
        of which the state's turnout is expected; where it has no segments of a state and election, there is
        :data:`UNKNOWN` and NULL.
    """
    if segments is None or not segments.num_rows:
        return persons.mutate(**{SEGMENT: ibis.literal(UNKNOWN), EXPECTED: ibis.null("float64")})
    classes = [name for name in SEGMENTED_BY if segments.column(name).null_count < segments.num_rows]
    named = segments.filter(pc.not_equal(segments.column(SEGMENT), POOLED)).select(
        [*_PLACE, *classes, SEGMENT, "turnout"]
    )
    places = segments.group_by(list(_PLACE)).aggregate([("state_turnout", "max"), (SEGMENT, "count")])
    joined = _beside(_beside(persons, named, [*_PLACE, *classes]), places, list(_PLACE))
    other = joined.segment_count.notnull().ifelse(POOLED, UNKNOWN)
    return joined.mutate(
        **{
            SEGMENT: ibis.coalesce(joined[SEGMENT], other),
            EXPECTED: ibis.coalesce(joined.turnout, joined.state_turnout_max),
        }
    ).drop("turnout", "state_turnout_max", "segment_count")


def segmentation_of(segments: pa.Table | None) -> str:
    """By which classes those segments are told apart, and why; empty where there are none."""
    if segments is None or not segments.num_rows:
        return ""
    return str(segments.column("segmentation")[0].as_py())


def _beside(left: ir.Table, right: pa.Table, keys: list[str]) -> ir.Table:
    joined = left.left_join(ibis.memtable(right), keys)
    return joined.drop(*(f"{key}_right" for key in keys))
