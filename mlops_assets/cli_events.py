"""The commands ``mlops-assets variance events`` and ``judge``: named events in the lake, and what people say of them.

Put here their arguments and what they print. Keep out what an event is and how a verdict is added.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlops_assets.cli_definitions import ModulesOption, known

app = typer.Typer()


class Verdict(StrEnum):
    """What can be said of an event."""

    CONFIRM = "confirm"
    REJECT = "reject"
    ANNOTATE = "annotate"


@app.command("events")
def events_(
    table: Annotated[str | None, typer.Option(help="Only those of this table, such as variance/orders_events.")] = None,
    partition: Annotated[str | None, typer.Option(help="Only those of this partition.")] = None,
    cause: Annotated[str | None, typer.Option(help="Only those of this cause.")] = None,
    modules: ModulesOption = None,
    *,
    open_: Annotated[bool, typer.Option("--open", help="Only those that nobody confirmed or rejected.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line instead of a table.")] = False,
) -> None:
    """List the named events of every comparison, by partition, with what people said of them."""
    from mlops_assets.wrangling.comparisons.verdicts import events  # noqa: PLC0415  --help needs no lake

    tables = known(modules)
    asked = {"table": table, "partition": partition, "cause": cause, "judgement": "open" if open_ else None}
    rows = [
        row
        for row in events(tables.settings, tables.contracts)
        if all(value is None or row[name] == value for name, value in asked.items())
    ]
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    printed = Table("id", "table", "partition", "cause", "what happened", "units", "probability", "judgement")
    for row in rows:
        probability = f"{row['probability']:.2f}"
        told = (row["table"], row["partition"], row["cause"], row["name"], row["units"], probability, row["judgement"])
        printed.add_row(row["event_id"], *map(escape, told))
    Console().print(printed)


@app.command()
def judge(
    event: Annotated[str, typer.Argument(help="Id of the event, or its beginning.")],
    verdict: Annotated[Verdict, typer.Argument(help="It happened; it did not; or only a note.")],
    by: Annotated[str, typer.Option(help="Who says so.")],
    note: Annotated[str, typer.Option(help="Why; nothing personal.")] = "",
    modules: ModulesOption = None,
) -> None:
    """Confirm, reject or annotate a named event; what was said before stays on record.

    A rejected event stops nothing, cuts no series and raises no alert. Where Dagster's daemon runs, the tables that
    depend on it follow by themselves.
    """
    from mlops_assets.wrangling.comparisons.verdicts import judge as run  # noqa: PLC0415  --help needs no lake

    tables = known(modules)
    row = run(tables.settings, tables.contracts, event, verdict.value, by=by, note=note)
    said = f"verdict {row['number']}, {row['verdict']}"
    typer.echo(f"{row['event_id']} {row['table']} {row['partition']}, {row['name']}: {said}")
