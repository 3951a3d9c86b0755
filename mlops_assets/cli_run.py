"""The command ``mlops-assets run``: one table materialized here, with tags.

Put here arguments, help and what is printed. Keep out what tags mean (the platform), and runs elsewhere: schedules,
sensors and the UI start those.
"""

from __future__ import annotations

from typing import Annotated, Final

import typer

from mlops_assets.cli_definitions import ModulesOption, found_instance, known
from mlops_assets.platform.errors import SettingsError

app = typer.Typer()

_OURS: Final = "mlops_assets/"


@app.command()
def run(
    table: Annotated[str, typer.Argument(help="Which table, by its asset key: raw/orders.")],
    partition: Annotated[str | None, typer.Option(help="Its partition.")] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(help="Tag of the run as NAME=VALUE, such as mlops_assets/raw=kept or mlops_assets/whole=true."),
    ] = None,
    modules: ModulesOption = None,
) -> None:
    """Materialize a table in this process, with tags that dg launch cannot give.

    What is published and what is refused is as in every other run, and so is what Dagster records of it. Exit code 1
    says that it failed.
    """
    import dagster as dg  # noqa: PLC0415  --help needs no Dagster

    tags = dict(_split(each) for each in tag or ())
    tables = known(modules)
    contract = tables.contract(table)
    if partition is None and contract.partitions_def is not None:
        raise typer.BadParameter(f"{table} has partitions: say which", param_hint="--partition")
    if not contract.dynamic:
        contract.partition_values(partition)
    definitions = next(
        (each for each in tables.definitions if contract.key in each.resolve_asset_graph().executable_asset_keys), None
    )
    if definitions is None:
        raise SettingsError(
            source=f"Table {table}",
            culprit="the definitions read it, and have no asset that makes it.",
            remedy="Name the module that makes it (--module).",
        )
    job = definitions.resolve_implicit_global_asset_job_def()
    instance = found_instance() or dg.DagsterInstance.ephemeral()
    done = job.execute_in_process(
        partition_key=partition,
        tags=tags,
        asset_selection=[contract.key],
        # What matters of its many events is printed below.
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        instance=instance,
        raise_on_error=False,
    )
    for failure in done.get_step_failure_events():
        said = failure.step_failure_data.user_failure_data
        typer.echo(said.description if said is not None else failure.message, err=True)
    for check in done.get_asset_check_evaluations():
        if not check.passed:
            typer.echo(f"{check.check_name}: {check.description}", err=True)
    if not done.success:
        raise typer.Exit(1)
    for event in done.get_asset_materialization_events():
        told = event.materialization.metadata.get("dagster/row_count")
        typer.echo(
            f"Published {table}{f' {partition}' if partition else ''}" + (f": {told.value:,} rows." if told else ".")
        )


def _split(text: str) -> tuple[str, str]:
    from mlops_assets.platform.assets.raw import TAG  # noqa: PLC0415  --help needs no platform
    from mlops_assets.platform.contracts.volume import ACCEPTED_TAG  # noqa: PLC0415
    from mlops_assets.plumbing.sources.increments import WHOLE_TAG  # noqa: PLC0415

    name, equals, value = text.strip().partition("=")
    if not (name and equals and value):
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--tag")
    ours = (TAG, WHOLE_TAG, ACCEPTED_TAG)
    if name.startswith(_OURS) and name not in ours:
        raise typer.BadParameter(f"there is no tag {name}; there are {', '.join(ours)}", param_hint="--tag")
    return name, value
