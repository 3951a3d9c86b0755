"""The commands ``mlops-assets lake``: what a lake holds, whether it is sound, and its upkeep.

Put here their arguments, what they print and what they ask. Keep out the work itself, which is
`mlops_assets.platform.lake`.
"""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from mlops_assets.cli_definitions import ModulesOption, found_instance, known
from mlops_assets.platform.errors import LakeError, SettingsError

if TYPE_CHECKING:
    import dagster as dg

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.inspection import Fault, Inspection
    from mlops_assets.platform.lake.session import LakeSession

app = typer.Typer(
    no_args_is_help=True, help="Look into the lakes of a home folder (MLOPS_ASSETS_HOME) and keep them sound and tidy."
)

_LakesArgument = Annotated[list[str] | None, typer.Argument(help="Which lakes; all when not given.")]
_YesOption = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
_DAY_SECONDS: Final = 86_400.0
_ROWS: Final = 20


@app.command()
def publishes(
    lake: Annotated[str, typer.Argument(help="Which lake.")],
    last: Annotated[int, typer.Option(help="How many of the newest to show.", min=1)] = 20,
    modules: ModulesOption = None,
) -> None:
    """List the newest publishes: version, table, partition, rows and content hash."""
    from mlops_assets.platform.lake import ledger  # noqa: PLC0415  --help needs no lake
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415

    table = Table(
        *(Column(name, overflow="fold") for name in ("version", "table", "partition", "rows", "content hash", "run"))
    )
    tables = known(modules)
    tables.there([lake])
    with LakeSession(tables.settings) as session:
        for entry in ledger.since(session, lake, 0)[-last:]:
            record = entry.record
            table.add_row(
                str(entry.version),
                record.asset,
                record.partition or "",
                f"{record.rows:,}",
                record.content_hash,
                record.run_id[:8],
            )
    Console().print(table)


@app.command()
def show(
    table: Annotated[str, typer.Argument(help="Which table, by its asset key: wrangled/voters.")],
    partition: Annotated[str | None, typer.Option(help="Which partition; all when not given.")] = None,
    rows: Annotated[
        int | None, typer.Option(help="How many rows at most; 20 when not given, and all as CSV.", min=1)
    ] = None,
    *,
    quarantine: Annotated[bool, typer.Option("--quarantine", help="The rows that were set aside, and why.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
    modules: ModulesOption = None,
) -> None:
    """Show rows of a table as they are visible now, sorted by their key; values of persons are masked."""
    import ibis  # noqa: PLC0415  --help needs no lake
    from pyarrow.csv import write_csv  # noqa: PLC0415

    from mlops_assets.platform.audit.audit import MASK  # noqa: PLC0415
    from mlops_assets.platform.contracts.rules import key_columns  # noqa: PLC0415
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415
    from mlops_assets.platform.lake.tables import current_table, quarantined_table  # noqa: PLC0415

    tables = known(modules)
    contract = tables.contract(table)
    tables.there([contract.lake.name])
    with LakeSession(tables.settings) as session:
        if quarantine and contract.quarantine is None:
            raise LakeError(
                source=f"Lake {contract.lake.name}, table {table}",
                culprit="its contract declares no quarantine, so no rows were set aside.",
                remedy="What broke a rule is in the results of its checks.",
            )
        _require_published(session, contract, partition)
        found = (
            quarantined_table(session, contract, partition)
            if quarantine
            else current_table(session, contract, None if partition is None else [partition])
        )
        ordered = found.order_by(key_columns(contract) or found.columns)
        hidden = contract.masked if quarantine else contract.personal
        shown = ordered.mutate(**dict.fromkeys(hidden, ibis.literal(MASK)))
        taken = shown.limit(rows or (None if csv else _ROWS)).to_pyarrow()
        total = found.count().to_pyarrow().as_py()
    if csv:
        write_csv(taken, sys.stdout.buffer)
        return
    printed = Table(*taken.column_names)
    for row in taken.to_pylist():
        printed.add_row(*("" if value is None else escape(str(value)) for value in row.values()))
    Console().print(printed)
    typer.echo(f"{taken.num_rows:,} of {total:,} rows.")


def _require_published(session: LakeSession, contract: Contract, partition: str | None) -> None:
    from mlops_assets.platform.lake import ledger  # noqa: PLC0415  --help needs no lake

    if not ledger.current(session, contract, None if partition is None else [partition]):
        raise LakeError(
            source=f"Lake {contract.lake.name}, table {contract.key.to_user_string()}",
            culprit="nothing of it is published." if partition is None else f"partition {partition} is not published.",
            remedy=f"mlops-assets lake publishes {contract.lake.name} lists what is.",
        )


@app.command()
def deliveries(
    table: Annotated[str, typer.Argument(help="Which table, by its asset key: raw/orders.")],
    partition: Annotated[str | None, typer.Option(help="Only what came for that partition.")] = None,
    get: Annotated[str | None, typer.Option(help="Print the bytes of the delivery whose SHA-256 begins so.")] = None,
    modules: ModulesOption = None,
) -> None:
    """List what a table's source delivered and is kept, oldest first; a run with its tag reads it again.

    The tag is mlops_assets/raw: kept for what each partition was made from, or the SHA-256 of one delivery, or its
    beginning: mlops-assets run TABLE --partition KEY --tag mlops_assets/raw=3f9a2b1c
    """
    from mlops_assets.platform.lake import ledger, raw  # noqa: PLC0415  --help needs no lake
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415

    tables = known(modules)
    contract = tables.contract(table)
    tables.there([contract.lake.name])
    if get is not None:
        with raw.kept(tables.settings, contract, raw.resolved(tables.settings, contract, get)).open("rb") as opened:
            shutil.copyfileobj(opened, sys.stdout.buffer)
        return
    with LakeSession(tables.settings) as session:
        records = [entry.record for entry in ledger.history(session, contract.lake.name, table)]
    made = {(record.delivery.sha256, record.partition) for record in records if record.delivery is not None}
    headers = ("arrived (UTC)", "bytes", "from", "partitions", "published", "sha256")
    shown = Table(*(Column(name, overflow="fold") for name in headers))
    for each in raw.listed(tables.settings, contract):
        keys = [*raw.noted(tables.settings, contract, each.sha256)]
        if partition is not None and partition not in keys:
            continue
        at = datetime.fromtimestamp(each.arrived_at, UTC)
        published = sum((each.sha256, key) in made for key in keys)
        shown.add_row(
            f"{at:%Y-%m-%d %H:%M}",
            f"{each.bytes:,}",
            escape(each.origin),
            escape(", ".join(sorted(str(key) for key in keys if key is not None))),
            "no" if not published else "yes" if published == len(keys) else f"{published} of {len(keys)}",
            each.sha256[:12],
        )
    Console().print(shown)


@app.command()
def sweep(
    lake: Annotated[str, typer.Argument(help="Which lake.")],
    hours: Annotated[float, typer.Option(help="Leave staged files younger than this.", min=0)] = 24.0,
    modules: ModulesOption = None,
) -> None:
    """Remove staged files that a killed run left behind; nothing that any version of the lake refers to."""
    from mlops_assets.platform.lake import stage  # noqa: PLC0415  --help needs no lake
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415

    tables = known(modules)
    tables.there([lake])
    with LakeSession(tables.settings) as session:
        removed = stage.sweep(session, lake, older_than_seconds=hours * 3600)
    typer.echo(f"Removed {len(removed)} staged folders.")


@app.command()
def check(
    lakes: _LakesArgument = None,
    *,
    hashes: Annotated[bool, typer.Option("--hashes", help="Make each content hash again; takes longer.")] = False,
    modules: ModulesOption = None,
) -> None:
    """Compare each lake with its ledger: rows of every current publish, data files, commits. Exit code 1 for faults.

    Publishes that happen meanwhile are no faults.
    """
    from mlops_assets.platform.lake.inspection import inspect  # noqa: PLC0415  --help needs no lake
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415

    tables = known(modules)
    chosen = tables.there(lakes)
    with LakeSession(tables.settings) as session:
        found = {lake: inspect(session, lake, tables.contracts, hashes=hashes) for lake in chosen}
    _show(found)
    for lake, inspection in found.items():
        for record in inspection.erasures:
            day = datetime.fromtimestamp(record.begun_at, UTC).date()
            rows = sum(one.rows_removed + one.quarantined_removed for one in record.publishes)
            typer.echo(f"{lake}: erased on {day}: {rows:,} rows (erasure {record.erasure_id}).")
    faults = [fault for inspection in found.values() for fault in inspection.faults]
    _tell(faults)
    if faults:
        raise typer.Exit(1)


@app.command()
def repair(lakes: _LakesArgument = None, *, yes: _YesOption = False, modules: ModulesOption = None) -> None:
    """Give up data files that are gone or cut, so that their tables can be read and published again.

    Says first which files and partitions that are, and asks. A partition that is given up counts as never published.
    Restore files from a backup before, if there is one.
    """
    from mlops_assets.platform.lake import repair as work  # noqa: PLC0415  --help needs no lake
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415

    tables = known(modules)
    chosen = tables.there(lakes)
    with LakeSession(tables.settings) as session:
        planned = [table for lake in chosen for table in work.plan(session, lake, tables.contracts)]
        for table in planned:
            for file, wrong in table.broken.items():
                typer.echo(f"give up {file}: {wrong}")
            name = f"{table.contract.layer}/{table.table}"
            for key in table.lost:
                typer.echo(f"lost: {name}" + (f", partition {key}" if key is not None else ""))
        if not planned:
            typer.echo("Every current file can be read; there is nothing to repair.")
            return
        ask("Give these files up?", yes=yes)
        for table in planned:
            work.repair(session, table)
    typer.echo(f"Repaired {len(planned)} tables. Materialize what was lost; mlops-assets lake check names it.")


@app.command()
def expire(
    lakes: _LakesArgument = None,
    older_than: Annotated[
        float,
        typer.Option(help="Keep versions that were current within so many days; 0 takes them from readers.", min=0),
    ] = 30.0,
    *,
    yes: _YesOption = False,
    modules: ModulesOption = None,
) -> None:
    """Let old versions go that nothing needs, with the files that only they name, and old deliveries of sources.

    Kept are the newest version, what runs under way read (DAGSTER_HOME), and whatever current tables, models and
    predictions were made from, so that each can be rebuilt.
    """
    from mlops_assets.platform.assets.reading import pinned_by_runs  # noqa: PLC0415  --help needs no Dagster
    from mlops_assets.platform.lake import expiry, raw  # noqa: PLC0415
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415

    tables = known(modules)
    chosen = tables.there(lakes)
    with LakeSession(tables.settings) as session, _instance() as instance:
        found = {
            lake: expiry.expirable(
                session,
                lake,
                older_than_seconds=older_than * _DAY_SECONDS,
                pins=lambda lake: pinned_by_runs(instance, lake),
            )
            for lake in chosen
        }
        came = {lake: raw.expirable(session, lake, older_than_seconds=older_than * _DAY_SECONDS) for lake in chosen}
        for lake, versions in found.items():
            typer.echo(
                f"{lake}: {len(versions)} versions that nothing needs were replaced over {older_than:g} days ago."
            )
            if came[lake]:
                typer.echo(f"{lake}: {len(came[lake])} deliveries that no current publish was made from are as old.")
        if any(found.values()) or any(came.values()):
            ask("Let them go for good?", yes=yes)
        for lake, versions in found.items():
            done = expiry.expire(session, lake, versions)
            typer.echo(
                f"{lake}: let {done.versions} versions go, {done.kept} are left; removed {len(done.files)} files."
            )
            raw.expire(came[lake])


def _instance() -> dg.DagsterInstance:
    """The instance whose runs read the lakes.

    Raises:
        SettingsError: there is none, so nobody can say what runs under way read.
    """
    instance = found_instance()
    if instance is None:
        raise SettingsError(
            source="DAGSTER_HOME",
            culprit="its folder holds no dagster.yaml, so nobody can say what runs under way read.",
            remedy="Set it to the folder of the Dagster instance.",
        )
    return instance


def ask(question: str, *, yes: bool) -> None:
    """Ask, unless it is answered already; a no ends the command."""
    if not yes:
        typer.confirm(question, abort=True)


def _show(found: dict[str, Inspection]) -> None:
    table = Table("lake", "table", "partitions", "rows", "faults")
    for lake, inspection in found.items():
        for state in inspection.tables:
            faults = f"[red]{state.faults}[/red]" if state.faults else "none"
            table.add_row(lake, state.asset, f"{state.partitions:,}", f"{state.rows:,}", faults)
    Console().print(table)


def _tell(faults: list[Fault]) -> None:
    console = Console(stderr=True)
    for fault in faults:
        console.print(f"[red]Fault.[/red] {escape(str(fault))}", highlight=False, soft_wrap=True)
    if not faults:
        typer.echo("No faults.")
