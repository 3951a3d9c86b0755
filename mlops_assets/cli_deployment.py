"""The deployment's commands: ``mlops-assets docker-proxy``, ``reaper``, ``pages``, ``secrets`` and ``backup``.

Put here their arguments and help. Keep out the work itself, which is `mlops_assets.deployment`.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mlops_assets.deployment.backup import Manifest

app = typer.Typer()
_secrets = typer.Typer(
    no_args_is_help=True, help="Make and renew the secrets of a deployment, and people's certificates."
)
app.add_typer(_secrets, name="secrets")

_backup = typer.Typer(
    no_args_is_help=True, help="What make backup and make restore run in a container: one archive of a deployment."
)
app.add_typer(_backup, name="backup")

_FolderOption = Annotated[Path, typer.Option(help="Folder of the secrets; each reader has a folder in it.")]
_RolesOption = Annotated[
    Path, typer.Option(help="File of the roles (TOML): what each may do on the pages.", envvar="MLOPS_ASSETS_ROLES")
]
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
    deployment: Annotated[
        str, typer.Option(help="Name for ${DEPLOYMENT} in the policy.", envvar="MLOPS_ASSETS_DEPLOYMENT")
    ] = "",
    image: Annotated[str, typer.Option(help="Image for ${IMAGE} in the policy.", envvar="DAGSTER_CURRENT_IMAGE")] = "",
) -> None:
    """Stand between the deployment and the Docker engine: run containers, hardened, and nothing else."""
    from mlops_assets.deployment.docker_proxy.policy import Policy, Role  # noqa: PLC0415  only the proxy needs it
    from mlops_assets.deployment.docker_proxy.server import serve as run  # noqa: PLC0415

    _log_to_standard_error()
    try:
        sockets = {Role(role): Path(own) for role, _, own in (each.partition("=") for each in listen)}
    except ValueError as error:
        raise typer.BadParameter(f"{error} (ROLE=SOCKET is expected)", param_hint="--listen") from None
    filled = Policy.read(policy, deployment=deployment, image=image)
    run(filled, listen=sockets, engine=engine)


@app.command()
def pages(
    workspace: Annotated[Path, typer.Option(help="File of the code locations (workspace.yaml).")],
    roles: _RolesOption,
    listen: Annotated[
        Path, typer.Option(help="Socket to make; only this account, and so the reverse proxy, may use it.")
    ],
) -> None:
    """Serve Dagster's pages to people, each with the rights of the role that the reverse proxy says (DAGSTER_HOME)."""
    from mlops_assets.deployment.pages.server import serve as run  # noqa: PLC0415  only the pages need Dagster's server

    _log_to_standard_error()
    run(workspace, roles=roles, listen=listen)


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


@_secrets.command("person")
def secrets_person(
    name: Annotated[str, typer.Argument(help="The person, such as ada.lovelace.")],
    role: Annotated[str, typer.Option(help="What the person is there for: one of the file of roles.")],
    folder: _FolderOption,
    roles: _RolesOption,
) -> None:
    """Make a certificate for one person, to sign in to the pages with; an earlier one of that person is revoked."""
    from mlops_assets.deployment import people  # noqa: PLC0415  --help needs no cryptography
    from mlops_assets.deployment.pages.roles import read_roles  # noqa: PLC0415

    if role not in (known := read_roles(roles)):
        raise typer.BadParameter(f"{role!r} is none of {', '.join(known)}.", param_hint="--role")
    _tell(people.admit(folder, name, role), folder)


@_secrets.command("revoke-person")
def secrets_revoke_person(name: Annotated[str, typer.Argument(help="The person.")], folder: _FolderOption) -> None:
    """Shut a person out: the reverse proxy refuses the certificate within a minute."""
    from mlops_assets.deployment import people  # noqa: PLC0415  --help needs no cryptography

    for each in people.revoke(folder, name):
        typer.echo(f"revoked {each.name} ({each.role}), serial {each.serial}.")


@_secrets.command("people")
def secrets_people(folder: _FolderOption) -> None:
    """List the certificates that people were given: role, when they end, and which are revoked."""
    from rich.console import Console  # noqa: PLC0415  --help needs no table
    from rich.table import Table  # noqa: PLC0415

    from mlops_assets.deployment import people  # noqa: PLC0415  --help needs no cryptography

    now = datetime.now(UTC)
    table = Table("person", "role", "serial", "given", "ends", "state")
    for each in people.listed(folder):
        state = f"revoked {each.revoked_at:%Y-%m-%d}" if each.revoked_at else "ended" if each.ends_at < now else "valid"
        table.add_row(
            each.name, each.role, each.serial, f"{each.issued_at:%Y-%m-%d}", f"{each.ends_at:%Y-%m-%d}", state
        )
    Console().print(table)


@_backup.command("pack")
def backup_pack(
    folder: Annotated[Path, typer.Option(help="Folder of the volumes, each in a folder of its name.")],
    volume: Annotated[list[str], typer.Option(help="A volume to keep, in the order of reading.")],
    deployment: Annotated[str, typer.Option(help="Name of the deployment.")],
) -> None:
    """Write an archive to standard output; standard input is a tar of the catalogs' dumps."""
    from mlops_assets.deployment import backup  # noqa: PLC0415  only backups need it

    _tell_held(backup.pack(sys.stdin.buffer, sys.stdout.buffer, folder=folder, volumes=volume, deployment=deployment))


@_backup.command("verify")
def backup_verify(
    into: Annotated[
        Path | None, typer.Option(help="Folder to lay the volumes out in, each into the empty folder of its name.")
    ] = None,
) -> None:
    """Prove the archive on standard input whole, by the checksum of each file."""
    from mlops_assets.deployment import backup  # noqa: PLC0415  only backups need it

    _tell_held(backup.verify(sys.stdin.buffer, into=into))


def _tell_held(manifest: Manifest) -> None:
    made = datetime.fromtimestamp(manifest.made_at, UTC)
    size = sum(kept.bytes for kept in manifest.files.values())
    typer.echo(
        f"{manifest.deployment}, {made:%Y-%m-%d %H:%M} UTC: {len(manifest.files):,} files, {size / 1e6:,.1f} MB.",
        err=True,
    )


def _tell(made: list[Path], folder: Path) -> None:
    for file in made:
        typer.echo(f"made {file.relative_to(folder)}")
    typer.echo(f"{len(made)} secrets made in {folder}.")
