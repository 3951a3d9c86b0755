"""Commands on sources: a draft from a file.

Put here arguments, help and what is printed. Keep out the work itself.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("infer")
def infer(
    file: Annotated[
        Path, typer.Argument(help="Delimited text with a header line, JSON lines, Parquet or Excel; packed or not.")
    ],
    table: Annotated[str | None, typer.Option(help="Name of the table; from the file's name when not given.")] = None,
) -> None:
    """Print a draft of a contract and a source for a file: Python, for you to read and correct.

    Nothing of the file's rows is printed. Types are those that every row fits; what holds leading zeros stays text.
    """
    from mlops_assets.plumbing.sources.drafts.draft import draft  # noqa: PLC0415  other commands need no engine

    name = table or re.sub(r"[^a-z]+", "_", file.name.partition(".")[0].lower()).strip("_") or "rows"
    typer.echo(draft(file, table=name), nl=False)
