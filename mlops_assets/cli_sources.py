"""Commands on sources: a draft from a file.

Put here arguments, help and what is printed. Keep out the work itself.
"""

from __future__ import annotations

import re
from typing import Annotated

import typer

app = typer.Typer()


@app.command("infer")
def infer(
    where: Annotated[
        str,
        typer.Argument(
            metavar="FILE|ADDRESS",
            help="Delimited text with a header line, JSON lines, Parquet or Excel, packed or not: path or address "
            "(https://, s3://, sftp://) that needs no other account than this machine's.",
        ),
    ],
    table: Annotated[str | None, typer.Option(help="Name of the table; from the file's name when not given.")] = None,
) -> None:
    """Print a draft of a contract and a source for a file: Python, for you to read and correct.

    Nothing of the file's rows is printed. Types are those that every row fits; what holds leading zeros stays text.
    """
    from mlops_assets.plumbing.sources.drafts.draft import draft  # noqa: PLC0415  other commands need no engine

    file = where.partition("?")[0].rpartition("/")[2].partition(".")[0]
    name = table or re.sub(r"[^a-z]+", "_", file.lower()).strip("_") or "rows"
    typer.echo(draft(where, table=name), nl=False)
