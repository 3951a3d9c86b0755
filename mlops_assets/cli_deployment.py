"""The deployment's commands: ``mlops-assets docker-proxy``, ``reaper`` and ``secrets``.

Put here their arguments and help. Keep out the work itself, which is `mlops_assets.deployment`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
_secrets = typer.Typer(no_args_is_help=True, help="Make and renew the secrets of a deployment.")
app.add_typer(_secrets, name="secrets")

_FolderOption = Annotated[Path, typer.Option(help="Folder of the secrets; each reader has a folder in it.")]
_NamesOption = Annotated[
    list[str] | None, typer.Option("--name", help="A name that the reverse proxy is reached by, beside localhost.")
]


@app.command("docker-proxy")
def docker_proxy(
    policy: Annotated[Path, typer.Option(help="File with the policy (JSON): what may be asked of the engine.")],
    listen: Annotated[
        list[str],
        typer.Option(
            metavar="ROLE=SOCKET",
            help="Socket to make for the clients of a role (launch, end or reap); only this account may use it.",
        ),
    ],
    engine: Annotated[Path, typer.Option(help="The engine's own socket.")] = Path("/var/run/docker.sock"),
) -> None:
    """Stand between the deployment and the Docker engine: run containers, hardened, and nothing else."""
    from mlops_assets.deployment.docker_proxy.policy import Policy, Role  # noqa: PLC0415  only the proxy needs it
    from mlops_assets.deployment.docker_proxy.server import serve as run  # noqa: PLC0415

    _log_to_standard_error()
    try:
        sockets = {Role(role): Path(own) for role, _, own in (each.partition("=") for each in listen)}
    except ValueError as error:
        raise typer.BadParameter(f"{error} (ROLE=SOCKET is expected)", param_hint="--listen") from None
    run(Policy.read(policy), listen=sockets, engine=engine)


@app.command()
def reaper(
    deployment: Annotated[str, typer.Option(help="Name of the deployment.", envvar="MLOPS_ASSETS_DEPLOYMENT")],
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1)] = 1.0,
    heartbeat: Annotated[Path | None, typer.Option(help="File to touch after each look, for a health check.")] = None,
    *,
    sweep_lakes: Annotated[bool, typer.Option(help="Remove staged files of runs that failed at once.")] = False,
    once: Annotated[bool, typer.Option(help="Look once and exit.")] = False,
) -> None:
    """Tell runs how their containers ended, and leave no container behind (DAGSTER_HOME, DOCKER_HOST)."""
    from mlops_assets.deployment.reaping import reap  # noqa: PLC0415  only the reaper needs Dagster and Docker

    _log_to_standard_error()
    reap(deployment=deployment, interval=interval, heartbeat=heartbeat, sweep_lakes=sweep_lakes, once=once)


def _log_to_standard_error() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


@_secrets.command("create")
def secrets_create(folder: _FolderOption, names: _NamesOption = None) -> None:
    """Make what is missing, and renew certificates that end soon; what is there stays."""
    from mlops_assets.deployment import secrets  # noqa: PLC0415  --help needs no cryptography

    _tell(secrets.create(folder, names=names or ()), folder)


@_secrets.command("rotate")
def secrets_rotate(
    folder: _FolderOption,
    names: _NamesOption = None,
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="certificates, passwords, tokens, models, authorities or pseudonyms; the first four unless named. "
            "Pseudonyms of a new key cannot be linked to those already published."
        ),
    ] = None,
) -> None:
    """Renew secrets; the containers that read them are restarted afterwards."""
    from mlops_assets.deployment import secrets  # noqa: PLC0415  --help needs no cryptography

    try:
        parts = [secrets.Part(each) for each in part] if part else secrets.USUAL_PARTS
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--part") from None
    _tell(secrets.rotate(folder, parts=parts, names=names or ()), folder)


def _tell(made: list[Path], folder: Path) -> None:
    for file in made:
        typer.echo(f"made {file.relative_to(folder)}")
    typer.echo(f"{len(made)} secrets made in {folder}.")
