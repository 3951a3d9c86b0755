"""The commands ``mlops-assets lake``: what a lake holds, whether it is sound, and its upkeep.

Put here their arguments, what they print and what they ask. Keep out the work itself, which is
`mlops_assets.platform.lake`.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dagster as dg

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.inspection import Fault, Inspection

app = typer.Typer(
    no_args_is_help=True, help="Look into the lakes of a home folder (MLOPS_ASSETS_HOME) and keep them sound and tidy."
)

_LakesArgument = Annotated[list[str] | None, typer.Argument(help="Which lakes; all when not given.")]
_YesOption = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
_DAY_SECONDS: Final = 86_400.0


@app.command()
def publishes(
    lake: Annotated[str, typer.Argument(help="Which lake.")],
    last: Annotated[int, typer.Option(help="How many of the newest to show.", min=1)] = 20,
) -> None:
    """List the newest publishes: version, table, partition, rows and content hash."""
    from mlops_assets.platform.lake import ledger  # noqa: PLC0415  --help needs no lake
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415

    table = Table("version", "table", "partition", "rows", "content hash", "run")
    settings, _ = there([lake])
    with LakeSession(settings) as session:
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
def sweep(
    lake: Annotated[str, typer.Argument(help="Which lake.")],
    hours: Annotated[float, typer.Option(help="Leave staged files younger than this.", min=0)] = 24.0,
) -> None:
    """Remove staged files that a killed run left behind; nothing that any version of the lake refers to."""
    from mlops_assets.platform.lake import stage  # noqa: PLC0415  --help needs no lake
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415

    settings, _ = there([lake])
    with LakeSession(settings) as session:
        removed = stage.sweep(session, lake, older_than_seconds=hours * 3600)
    typer.echo(f"Removed {len(removed)} staged folders.")


@app.command()
def check(
    lakes: _LakesArgument = None,
    *,
    hashes: Annotated[bool, typer.Option("--hashes", help="Make each content hash again; takes longer.")] = False,
) -> None:
    """Compare each lake with its ledger: rows of every current publish, data files, commits. Exit code 1 for faults.

    Publishes that happen meanwhile are no faults.
    """
    from mlops_assets.platform.lake.inspection import inspect  # noqa: PLC0415  --help needs no lake
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415

    contracts = contracts_by_key()
    settings, chosen = there(lakes)
    with LakeSession(settings) as session:
        found = {lake: inspect(session, lake, contracts, hashes=hashes) for lake in chosen}
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
def repair(lakes: _LakesArgument = None, *, yes: _YesOption = False) -> None:
    """Give up data files that are gone or cut, so that their tables can be read and published again.

    Says first which files and partitions that are, and asks. A partition that is given up counts as never published.
    Restore files from a backup before, if there is one.
    """
    from mlops_assets.platform.lake import repair as work  # noqa: PLC0415  --help needs no lake
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415

    contracts = contracts_by_key()
    settings, chosen = there(lakes)
    with LakeSession(settings) as session:
        planned = [table for lake in chosen for table in work.plan(session, lake, contracts)]
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
    older_than: Annotated[float, typer.Option(help="Keep versions younger than so many days.", min=0)] = 30.0,
    *,
    yes: _YesOption = False,
) -> None:
    """Let old versions go that nothing needs, and remove the files that only they name.

    Kept are the newest version, what runs under way read (DAGSTER_HOME), and whatever current tables, models and
    predictions were made from, so that each can be rebuilt.
    """
    from mlops_assets.platform.assets.reading import pinned_by_runs  # noqa: PLC0415  --help needs no Dagster
    from mlops_assets.platform.lake import expiry  # noqa: PLC0415
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415

    settings, chosen = there(lakes)
    with LakeSession(settings) as session, _instance() as instance:
        found = {
            lake: expiry.expirable(
                session,
                lake,
                older_than_seconds=older_than * _DAY_SECONDS,
                pins=lambda lake: pinned_by_runs(instance, lake),
            )
            for lake in chosen
        }
        for lake, versions in found.items():
            typer.echo(f"{lake}: {len(versions)} versions that nothing needs are older than {older_than:g} days.")
        if any(found.values()):
            ask("Let them go for good?", yes=yes)
        for lake, versions in found.items():
            done = expiry.expire(session, lake, versions)
            typer.echo(
                f"{lake}: let {done.versions} versions go, {done.kept} are left; removed {len(done.files)} files."
            )


def there(lakes: Sequence[str] | None) -> tuple[Settings, list[str]]:
    """The settings, and the lakes that were named or all; looking at one that is not there would make it.

    Raises:
        SettingsError: one that was named is not there, or none is.
    """
    settings = Settings.load()
    there = settings.lake_names
    lost = sorted(set(lakes or ()) - set(there))
    if lost or not there:
        raise SettingsError(
            source=f"The home folder {settings.home}",
            culprit=f"it holds no lake {lost[0]}, but {', '.join(there)}." if lost and there else "it holds no lake.",
            remedy="Name the right one by MLOPS_ASSETS_HOME.",
        )
    return settings, list(lakes or there)


def contracts_by_key() -> dict[str, Contract]:
    """Every contract of the domain by its asset key as text."""
    import importlib  # noqa: PLC0415
    import pkgutil  # noqa: PLC0415

    from mlops_assets import contracts  # noqa: PLC0415  --help needs no contracts
    from mlops_assets.platform.contracts.contract import Contract  # noqa: PLC0415

    modules = [
        importlib.import_module(f"{contracts.__name__}.{found.name}")
        for found in pkgutil.iter_modules(contracts.__path__)
    ]
    declared = [value for module in modules for value in vars(module).values() if isinstance(value, Contract)]
    return {contract.key.to_user_string(): contract for contract in declared}


def _instance() -> dg.DagsterInstance:
    """The instance whose runs read the lakes.

    Raises:
        SettingsError: there is none, so nobody can say what runs under way read.
    """
    import dagster as dg  # noqa: PLC0415  --help needs no Dagster

    from mlops_assets.deployment.instance import embedded_folder  # noqa: PLC0415

    folder = embedded_folder()
    if not (folder / "dagster.yaml").is_file():
        raise SettingsError(
            source="DAGSTER_HOME",
            culprit=f"{folder} holds no dagster.yaml, so nobody can say what runs under way read.",
            remedy="Set it to the folder of the Dagster instance.",
        )
    # The file of a demonstration's instance names its folder by it.
    os.environ.setdefault("DAGSTER_HOME", str(folder))
    return dg.DagsterInstance.from_config(str(folder))


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
