"""The text of a draft: Python that declares the table and the source that were found in a file.

Put here how a draft is written. Keep out what a file suggests (``draft``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.plumbing.sources.drafts.place import DraftPlace

_TIMES: Final = (
    (r"(?<![0-9])[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])", "day", "Daily", "%Y-%m-%d"),
    (r"(?<![0-9])[0-9]{4}-[0-9]{2}(?!-?[0-9])", "month", "Monthly", "%Y-%m"),
)


@dataclass(frozen=True, kw_only=True)
class DraftColumn:
    """A column of the file.

    Attributes:
        ours: its name in the contract.
        theirs: its name in the file.
        kind: as the contract would write it.
        form: how its text is written, where a declaration must say so.
        others: in which other ways it could be.
        nullable: whether some rows have none.
        unique: whether no two rows have the same.
        personal: whether name or values look like a person's.
    """

    ours: str
    theirs: str
    kind: str
    form: str | None
    others: Sequence[str]
    nullable: bool
    unique: bool
    personal: bool


def written(place: DraftPlace, table: str, columns: Sequence[DraftColumn], said: str, count: int) -> str:
    """Python that declares it.

    Args:
        place: of the file that was read.
        table: name of the table.
        columns: of the file.
        said: its format, as the declaration says it.
        count: how many rows it has.
    """
    model, constant = table.title().replace("_", ""), table.upper()
    name, dimension = _literal(place.name), None
    for pattern, column, period, form in _TIMES:
        found = re.search(pattern, place.name)
        if (
            found
            and _is_time(found[0], form)
            and {each.kind for each in columns if each.ours == column} <= {"dt.String"}
        ):
            name = f"{_literal(place.name[: found.start()])}{{{column}}}{_literal(place.name[found.end() :])}"
            dimension = (column, period, form, found[0])
            break
    personal = any(column.personal for column in columns)
    fields = [_field(column) for column in columns]
    if dimension and dimension[0] not in {column.ours for column in columns}:
        fields.insert(0, f"    {dimension[0]}: dt.String")
    unique = [column.ours for column in columns if column.unique and not column.personal][:1]
    key = ", ".join(f'"{each}"' for each in [*([dimension[0]] if dimension else []), *unique])
    key = key if "," in key else f"{key},"
    config = (
        f"\n    class Config:\n        unique = ({key})\n"
        if unique
        else "\n    # No column alone tells the rows apart: which ones do? class Config: unique = (...)\n"
    )
    partitions = (
        f'    partitions_def=dg.{dimension[1]}PartitionsDefinition("{dimension[3]}", fmt="{dimension[2]}"),\n'
        f'    partition_columns={{"{dimension[0]}": "{dimension[0]}"}},\n'
        if dimension
        else ""
    )
    options: Mapping[str, str] = {
        "columns": _mapping({each.ours: each.theirs for each in columns if each.ours != each.theirs}),
        "formats": _mapping({each.ours: each.form for each in columns if each.form}),
        "format": "" if said == "ma.Delimited()" else said,
    }
    given = "".join(f"    {option}={value},\n" for option, value in options.items() if value)
    if place.over_http:
        url = json.dumps(f"{_literal(place.folder)}/{name}")
        source = f"{table} = ma.HttpFileSource(\n    contract={constant},\n    url={url},\n{given})"
    else:
        at = f"    path={json.dumps(place.folder)},\n    file={json.dumps(name)},\n"
        source = f"{table} = ma.FileSource(\n    contract={constant},\n{at}{given}    whole=ma.Quiet(seconds=60),\n)"
    lake = 'ma.Lake("restricted", personal=True)' if personal else 'ma.Lake("curated")'
    return f"""\
# A draft from {place.name} ({count:,} rows): read it, and correct what a file cannot say.
{"import dagster as dg" + chr(10) if dimension else ""}import ibis.expr.datatypes as dt
import pandera.ibis as pa

import mlops_assets as ma


class {model}(pa.DataFrameModel):
{chr(10).join(fields)}
{config}

{constant} = ma.Contract(
    layer="raw",
    table="{table}",
    model={model},
    lake={lake},
    description="...",
    owners=["team:plumbing"],
{partitions})

{source}
"""


def _is_time(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)  # noqa: DTZ007  its zone is of no matter
    except ValueError:
        return False
    return True


def _literal(text: str) -> str:
    """The text as a part of a template."""
    return text.replace("{", "{{").replace("}", "}}")


def _field(column: DraftColumn) -> str:
    options = ["nullable=True"] if column.nullable else []
    if column.personal:
        options.append('metadata={"personal": True}')
    doubt = f"  # or written as {' or '.join(column.others)}: every value fits both" if column.others else ""
    return f"    {column.ours}: {column.kind}" + (f" = pa.Field({', '.join(options)})" if options else "") + doubt


def _mapping(entries: Mapping[str, str | None]) -> str:
    return json.dumps(entries, ensure_ascii=False) if entries else ""
