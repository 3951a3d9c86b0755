"""The command ``mlops-assets lake rebuild``: a publish made again in another folder and compared hash for hash.

Put here its arguments and what it prints. Keep out the work, which is `mlops_assets.platform.assets.rebuild`.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from pathlib import Path  # noqa: TC003  Typer looks it up
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli_definitions import ModulesOption, found_instance, known
from mlops_assets.platform import scratch
from mlops_assets.platform.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets.platform.assets.rebuild import Rebuilt

app = typer.Typer()


@app.command()
def rebuild(
    table: Annotated[str, typer.Argument(help="Which table, by its asset key: wrangled/voters.")],
    partition: Annotated[str | None, typer.Option(help="Which partition; none for an unpartitioned table.")] = None,
    version: Annotated[
        int | None, typer.Option(help="What was current at that version of its lake; the newest when not given.", min=1)
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="A new or empty folder to rebuild in, which is kept; a temporary one when not.")
    ] = None,
    modules: ModulesOption = None,
) -> None:
    """Make a publish again in another folder, from what it was made from, and compare the rows. Exit code 1 if other.

    Every partition that it was made from is verified by its content hash. The lakes are only read, and no run or event
    is left. Of a run's config the Dagster instance of DAGSTER_HOME is asked.
    """
    from mlops_assets.platform.assets.rebuild import rebuild as work  # noqa: PLC0415  --help needs no Dagster

    tables = known(modules)
    with _folder(into) as home, found_instance() or nullcontext() as instance:
        found = work(
            tables.definitions,
            table,
            partition,
            version=version,
            instance=instance,
            settings=tables.settings,
            home=home.absolute(),
        )
    _tell(found)
    if not found.equal:
        raise typer.Exit(1)


def _tell(found: Rebuilt) -> None:
    record = found.entry.record
    what = f"{record.asset}{f', partition {record.partition}' if record.partition is not None else ''}"
    typer.echo(f"{what}: publish {record.publish_id}, version {found.entry.version}, run {record.run_id}")
    typer.echo(f"verified  {found.inputs} partitions that it was made from")
    typer.echo(f"recorded  {record.content_hash}")
    typer.echo(f"rebuilt   {found.content_hash}")
    for name, (then, now) in found.differences.items():
        typer.echo(f"{name}: {then} then, {now} now")
    if found.equal:
        typer.echo("Rebuilt: equal.")
        return
    for name, count in found.counts.items():
        typer.echo(f"{name}: {count:,}")
    typer.echo(
        "Not equal. "
        + (
            "The cause is among what differs above."
            if found.differences
            else "Nothing on record differs: does the function use time, chance, or something that is in no lake?"
        )
    )


@contextmanager
def _folder(into: Path | None) -> Iterator[Path]:
    """The folder that becomes a home; what is in it may be personal.

    Raises:
        SettingsError: the folder that was named is not empty.
    """
    if into is None:
        folder = scratch.make("rebuild-")
        try:
            yield folder
        finally:
            scratch.remove(folder)
        return
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(into.iterdir()):
        raise SettingsError(source=f"Folder {into}", culprit="it is not empty.", remedy="Name a new one.")
    yield into
