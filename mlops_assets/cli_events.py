"""The commands ``mlops-assets variance events`` and ``judge``: named events in the lake, and what people say of them.

Put here their arguments and what they print. Keep out what an event is and how a verdict is added.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mlops_assets.platform.settings import Settings

app = typer.Typer()


class Verdict(StrEnum):
    """What can be said of an event."""

    CONFIRM = "confirm"
    REJECT = "reject"
    ANNOTATE = "annotate"


@app.command("events")
def events_(
    state: Annotated[str | None, typer.Option(help="Only those of this state.")] = None,
    cause: Annotated[str | None, typer.Option(help="Only those of this cause.")] = None,
    *,
    open_: Annotated[bool, typer.Option("--open", help="Only those that nobody confirmed or rejected.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line instead of a table.")] = False,
) -> None:
    """List the named events in the lake, oldest first, with what people said of them."""
    from mlops_assets.wrangling.verdicts import events  # noqa: PLC0415  --help needs no lake

    rows = [
        row
        for row in events(Settings.load())
        if (state is None or row["state"] == state.upper())
        and (cause is None or row["cause"] == cause)
        and (not open_ or (row["judgement"] == "open" and not row["same_as"]))
    ]
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    table = Table("id", "time", "state", "cause", "what happened", "probability", "judgement", "same as")
    for row in rows:
        table.add_row(
            row["event_id"],
            row["time"],
            row["state"],
            row["cause"],
            row["name"],
            f"{row['probability']:.2f}",
            row["judgement"],
            row["same_as"],
        )
    Console().print(table)


@app.command()
def judge(
    event: Annotated[str, typer.Argument(help="Id of the event, or its beginning.")],
    verdict: Annotated[Verdict, typer.Argument(help="It happened; it did not; or only a note.")],
    by: Annotated[str, typer.Option(help="Who says so.")],
    note: Annotated[str, typer.Option(help="Why; nothing personal.")] = "",
) -> None:
    """Confirm, reject or annotate a named event; what was said before stays on record.

    A rejected event stops no features, cuts no series and raises no alert. Where Dagster's daemon runs, the tables
    that depend on it follow by themselves.
    """
    from mlops_assets.wrangling.verdicts import judge as run  # noqa: PLC0415  --help needs no lake

    row = run(Settings.load(), event, verdict.value, by=by, note=note)
    said = f"verdict {row['number']}, {row['verdict']}"
    typer.echo(f"{row['event_id']} {row['state']} {row['time']}, {row['name']}: {said}")
