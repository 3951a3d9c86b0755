"""Entry findings: what an election office's file made wrangling mend, named and counted.

Put here findings about the entry of data. Keep out changes between snapshots (that is variance) and the mending itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.contracts import codes
from mlops_assets.contracts.layouts import LAYOUTS, VOTER_FILE_COLUMNS
from mlops_assets.wrangling import classes
from mlops_assets.wrangling.pseudonyms import person_text
from mlops_assets.wrangling.voters import NOT_REGISTERED

if TYPE_CHECKING:
    import ibis.expr.types as ir

LEFT_OUT: Final = "LEFT_OUT"
"""What rows without a readable district are mended to."""

SAME_ROW: Final = "row"
"""``column`` of rows that are repeated in every column; ``ncid`` where rows of one person differ."""

_KEYS: Final = ("state", "month", "finding", "column", "found", "mended_to")


def entry_findings(voter_file: ir.Table) -> ir.Table:
    """Name and count repeated rows, synonym codes, unknown codes and the layout in force.

    Args:
        voter_file: rows of ``raw/voter_file``.

    Returns:
        Rows of ``wrangled/entry_findings``, keyed by state, month, finding, column and what was found; ``rows`` counts
        raw rows. ``repeated_rows`` are found as the number of copies of a person, mended to 1, under column ``row`` if
        the copies are equal in every delivered column, else ``ncid``. A ``synonym_code`` is mended to its official
        code, an ``unknown_code`` to ``UNRECOGNISED`` (an unreadable district of a registered person to ``LEFT_OUT``);
        codes are in upper case, and what is too long to be one shows as ``(withheld)``.
    """
    parts = [_codes(voter_file, coded) for coded in classes.CODED_COLUMNS]
    return ibis.union(*parts, _districts(voter_file), _repeats(voter_file), _layouts(voter_file))


def _codes(voter_file: ir.Table, coded: classes.CodedColumn) -> ir.Table:
    code = classes.normalised(voter_file[coded.column])
    unofficial = voter_file.filter(code.notin(list(coded.official)))
    code = classes.normalised(unofficial[coded.column])
    synonym = code.isin(list(coded.synonyms))
    return _counted(
        unofficial,
        finding=synonym.ifelse("synonym_code", "unknown_code"),
        column=ibis.literal(coded.column),
        found=coded.is_code(code).ifelse(code, classes.WITHHELD),
        mended_to=code.cases(*coded.synonyms.items(), else_=codes.UNRECOGNISED)
        if coded.synonyms
        else ibis.literal(codes.UNRECOGNISED),
    )


def _districts(voter_file: ir.Table) -> ir.Table:
    registered = classes.STATUS.classes(voter_file.status_cd).notin(NOT_REGISTERED)
    unplaced = voter_file.filter(registered, classes.district_number(voter_file.cong_dist_abbrv).isnull())
    district = classes.normalised(unplaced.cong_dist_abbrv)
    return _counted(
        unplaced,
        finding=ibis.literal("unknown_code"),
        column=ibis.literal("cong_dist_abbrv"),
        found=(district.length() <= classes.CODE_WIDTH).ifelse(district, classes.WITHHELD),
        mended_to=ibis.literal(LEFT_OUT),
    )


def _repeats(voter_file: ir.Table) -> ir.Table:
    person = person_text(voter_file.state, voter_file.ncid)
    persons = voter_file.mutate(person=person, copies=voter_file.count().over(ibis.window(group_by=person)))
    several = persons.filter(persons.copies > 1)
    # Only persons with several rows are compared column by column: the comparison is as wide as the file.
    kinds = several.select("state", "month", "person", "copies", *VOTER_FILE_COLUMNS).distinct()
    kinds = kinds.group_by("state", "month", "person", "copies").aggregate(kinds=lambda rows: rows.count())
    return (
        kinds.group_by(
            "state",
            "month",
            finding=ibis.literal("repeated_rows"),
            column=(kinds.kinds == 1).ifelse(SAME_ROW, "ncid"),
            found=kinds.copies.cast("string"),
            mended_to=ibis.literal("1"),
        )
        .aggregate(rows=kinds.copies.sum())
        .select(*_KEYS, "rows")
    )


def _layouts(voter_file: ir.Table) -> ir.Table:
    return _counted(
        voter_file,
        finding=ibis.literal("layout"),
        column=ibis.literal("layout"),
        found=voter_file.layout,
        mended_to=ibis.literal(list(LAYOUTS)[-1]),
    )


def _counted(rows: ir.Table, **keys: ir.StringValue) -> ir.Table:
    named = rows.select("state", "month", **keys)
    return named.group_by(*_KEYS).aggregate(rows=named.count()).select(*_KEYS, "rows")
