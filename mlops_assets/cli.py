"""The command ``mlops-assets``: demonstrations, the service, tokens, and a look into the lakes.

Put here arguments, help and exit codes. Keep out the work itself: each command calls one function of the package.

Exit codes: 0 done; 1 failed, with one sentence that names source, culprit and remedy; 2 the command was called wrongly;
130 interrupted.
"""

from __future__ import annotations

import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from mlops_assets import (
    __version__,
    cli_client,
    cli_deployment,
    cli_events,
    cli_forget,
    cli_lake,
    cli_rebuild,
    cli_report,
    cli_run,
    cli_sources,
    cli_variance,
)
from mlops_assets.platform.errors import PlatformError
from mlops_assets.platform.settings import Settings
from mlops_assets.platform.withheld import kept_text, withhold

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

_app = typer.Typer(
    name="mlops-assets",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Raw extracts to served predictions: audited, versioned Dagster assets.\n\n"
    "Start with [bold]mlops-assets demo[/bold]. Settings come from MLOPS_ASSETS_* variables, .env and secret files.",
    rich_markup_mode="rich",
)
_IDS: Final = {"ignore_unknown_options": True}
"""Of commands that take ids made by chance, which may begin with a dash."""
_keys = typer.Typer(no_args_is_help=True, help="Make, rotate and retire the keys that sign the service's tokens.")
_app.add_typer(_keys, name="keys")
cli_lake.app.add_typer(cli_rebuild.app)
cli_lake.app.add_typer(cli_forget.app)
_app.add_typer(cli_lake.app, name="lake")
cli_variance.app.add_typer(cli_events.app)
cli_variance.app.add_typer(cli_report.app, name="report")
_app.add_typer(cli_variance.app, name="variance")
_app.add_typer(cli_sources.app)
_app.add_typer(cli_run.app)
_app.add_typer(cli_deployment.app)
_app.add_typer(cli_client.app)

DEMO_VOTERS: Final = 10_000
"""Registered voters of each simulated state: enough that every event is found, whatever the seed."""
DEMO_SEED: Final = 2022

_HomeOption = Annotated[
    Path,
    typer.Option(
        help="Folder for everything the demonstration writes: a new or empty one, or an earlier demonstration's, "
        "which is emptied first."
    ),
]
_PortOption = Annotated[
    int, typer.Option(help="Port of the service on loopback; 0 chooses a free one.", min=0, max=65535)
]


def main() -> None:
    """Run the command; a failure of the platform ends in one line on standard error and exit code 1.

    Being told to end (SIGINT, SIGTERM, SIGHUP) ends it as an exception does, so that whatever it started is stopped.
    """
    told_to_end = threading.Event()

    def leave(number: int, _frame: FrameType | None) -> None:
        told_to_end.set()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        # The shell's convention for a program that a signal ended.
        sys.exit(128 + number)

    # Also where a script's background ignores Ctrl-C: Dagster would ignore SIGTERM then, too.
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        # Whoever calls it by nohup means to leave it alone.
        signal.signal(signal.SIGHUP, leave)
    try:
        _app()
    except PlatformError as error:
        _fail(error)
    except Exception as error:  # noqa: BLE001  a traceback would show what it says
        # Compiled modules make errors of their own of a signal, as when it meets them being imported.
        if told_to_end.is_set():
            sys.exit(128 + signal.SIGINT)
        _fail(withhold(error, source="mlops-assets"))


def _fail(error: PlatformError) -> NoReturn:
    Console(stderr=True).print(f"[red]Failed.[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
    sys.exit(1)


@_app.callback(invoke_without_command=True)
def _version(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@_app.command()
def demo(
    voters: Annotated[
        int, typer.Option(help="Registered voters of each of the two simulated states.", min=2000)
    ] = DEMO_VOTERS,
    home: _HomeOption = Path(".mlops_assets"),
    port: _PortOption = 0,
    seed: Annotated[int, typer.Option(help="Seed of the simulated sources; equal seeds give equal data.")] = DEMO_SEED,
) -> None:
    """Simulated sources through all assets to a served prediction; the last month arrives by itself.

    Loads 17 months of history in this process, then starts daemon and service, drops the last month into the landing
    folder and waits until sensor and automation have carried it to a new prediction, fetched over HTTP with a token.
    Stops what it started. Takes a few minutes on two cores; ten times the voters take four times as long.
    """
    from mlops_assets.demo.simulated import run  # noqa: PLC0415  --help needs no Dagster

    try:
        run(home=home.absolute(), voters_per_state=voters, port=port, seed=seed)
    except KeyboardInterrupt:
        typer.echo("Interrupted. The demonstration starts anew when it is called again.", err=True)
        raise


@_app.command("demo-real")
def demo_real(
    data: Annotated[Path, typer.Option(help="Folder with the public files (see docs/sources).", exists=True)],
    home: _HomeOption = Path(".mlops_assets-real"),
    port: _PortOption = 0,
) -> None:
    """Real House returns, census profiles and registrations through the same assets to a served prediction."""
    from mlops_assets.demo.real import run  # noqa: PLC0415  --help needs no Dagster

    run(data=data.absolute(), home=home.absolute(), port=port)


@_app.command()
def dev(
    home: Annotated[Path, typer.Option(help="Home folder of an earlier demonstration.")] = Path(".mlops_assets"),
    port: Annotated[int, typer.Option(help="Port of the Dagster UI on loopback.")] = 3000,
) -> None:
    """Open the Dagster UI on the demonstration's embedded instance, with its sources running."""
    from mlops_assets.demo.development import run  # noqa: PLC0415  --help needs no Dagster

    run(home=home.absolute(), port=port)


@_app.command()
def serve() -> None:
    """Run the REST service over the current exports, on loopback (MLOPS_ASSETS_SERVICE__HOST and __PORT).

    It speaks TLS there, and makes a certificate of its own unless it is given one (__TLS_CERTIFICATE, __TLS_KEY); its
    clients trust tls/authority.crt in the home folder. Other machines reach it through an edge alone: set __SOCKET, and
    see [bold]mlops-assets edge-config[/bold].
    """
    from mlops_assets.serving.server import serve as run  # noqa: PLC0415  other commands need no web server

    settings = Settings.load()
    run(settings if settings.service.socket is not None else _with_loopback_certificate(settings))


@_app.command("edge-config")
def edge_config(
    folder: Annotated[
        Path | None,
        typer.Option(help="Where nginx keeps its process id and bodies; edge in the home folder if not set."),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(help="Whose its processes are where root starts it, such as www-data; see docs/service.md."),
    ] = None,
) -> None:
    """Print the configuration of the nginx that speaks to strangers in front of the service, made from the settings.

    The edge listens on MLOPS_ASSETS_SERVICE__HOST and __PORT with __TLS_CERTIFICATE and __TLS_KEY, verifies client
    certificates by __CLIENT_CA if that is set, and asks the service at __SOCKET. Start it: nginx -e stderr -c FILE
    """
    from mlops_assets.serving.edge import edge_configuration  # noqa: PLC0415  other commands need no web framework

    settings = _with_loopback_certificate(Settings.load())
    if folder is None:
        folder = settings.home / "edge"
        folder.mkdir(parents=True, exist_ok=True)
    typer.echo(edge_configuration(settings.service, folder=folder, user=user), nl=False)


def _with_loopback_certificate(settings: Settings) -> Settings:
    """Those settings, with a certificate made in the home folder where none is given and only this machine listens."""
    from mlops_assets.serving.server import is_loopback  # noqa: PLC0415  other commands need no web server

    service = settings.service
    if service.plain_http or service.tls_certificate is not None or not is_loopback(service.host):
        return settings
    from mlops_assets.deployment.loopback import loopback_certificate  # noqa: PLC0415  a given one is enough

    certificate, key = loopback_certificate(settings.service_tls)
    given = service.model_copy(update={"tls_certificate": certificate, "tls_key": key})
    return settings.model_copy(update={"service": given})


@_app.command()
def withdraw(
    name: Annotated[str, typer.Argument(help="Name of the export: of a served table, or of a served model.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Take a table or a model out of the service and delete its exports; the service follows within a second.

    Take its declaration out as well: the next run of its asset would bring it back.
    """
    from mlops_assets.platform.exports.export import withdraw_exports  # noqa: PLC0415  other commands need no exports

    cli_lake.ask(f"Delete all exports of {name}?", yes=yes)
    withdraw_exports(Settings.load().exports / name)
    typer.echo(f"Withdrew {name}.")


@_app.command("error")
def error_text(
    error_id: Annotated[str, typer.Argument(metavar="ID", help="The id that the failure's message names.")],
) -> None:
    """Print what an unexpected error said, with its traceback. It may quote rows: it is for no log and no ticket."""
    typer.echo(kept_text(Settings.load().errors, error_id))


class _IssueUnlessNamed(TyperGroup):
    """Lets ``token NAME`` stand for ``token issue NAME``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  the library keeps its type to itself
        """The arguments, with the command that is meant."""
        if args and args[0] not in self.commands and args[0] not in self.get_help_option_names(ctx):
            args = ["issue", *args]
        return super().parse_args(ctx, args)


_tokens = typer.Typer(
    cls=_IssueUnlessNamed,
    no_args_is_help=True,
    help="Issue and revoke the service's tokens. [bold]token NAME[/bold] is short for [bold]token issue NAME[/bold].",
)
_app.add_typer(_tokens, name="token")


@_tokens.command("issue")
def token(
    principal: Annotated[str, typer.Argument(help="Name of the application that will use the token.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do; may be given several times. Without it, what there is is listed."),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE,...",
            help="Limit it to rows with these values of a column; may be given several times.",
        ),
    ] = None,
    hours: Annotated[float, typer.Option(help="How long the token is valid.", min=0.01)] = 24.0,
    certificate: Annotated[
        Path | None, typer.Option(help="Bind it to this client certificate (PEM): nobody else can use it.")
    ] = None,
) -> None:
    """Print a token for the REST service; the key is made on first use."""
    from mlops_assets.serving.identity import credentials  # noqa: PLC0415  other commands need no web framework
    from mlops_assets.serving.identity.scopes import known_scopes  # noqa: PLC0415

    settings, limits = Settings.load(), _limits(limit or ())
    if not scope:
        raise typer.BadParameter(f"say what it may do: {known_scopes()}", param_hint="--scope")
    if not settings.token_signing_key.exists() and not settings.service.has_identity_provider:
        credentials.create_service_keys(settings)
    credentials.demand_known_limits(settings, limits)
    issued = credentials.issue_service_token(
        settings,
        principal=principal,
        scopes=scope,
        limits=limits,
        lifetime=timedelta(hours=hours),
        certificate=certificate,
    )
    if vain := credentials.undemanded(settings, scope):
        typer.echo(f"Nothing that is exported demands {', '.join(vain)}: that allows nothing yet.", err=True)
    typer.echo(issued)


def _limits(given: Iterable[str]) -> dict[str, set[str]]:
    """The limits as they are written on the command line; those of one column add up."""
    limits: dict[str, set[str]] = {}
    for text in given:
        column, equals, values = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is not of the form COLUMN=VALUE,...", param_hint="--limit")
        limits.setdefault(column.strip(), set()).update(value.strip() for value in values.split(",") if value.strip())
    return limits


@_tokens.command("revoke", context_settings=_IDS)
def token_revoke(
    token_or_id: Annotated[str, typer.Argument(metavar="TOKEN", help="The token, or its id as the log shows it.")],
) -> None:
    """Refuse one token from now on; a running service follows within a second. Prints the token's id."""
    from mlops_assets.serving.identity.credentials import revoke_service_token  # noqa: PLC0415  other commands need no keys

    typer.echo(revoke_service_token(Settings.load(), token_or_id))


@_keys.command("rotate")
def keys_rotate() -> None:
    """Make a new signing key; tokens of the old one stay valid until its id is retired."""
    from mlops_assets.serving.identity.credentials import rotate_service_keys  # noqa: PLC0415  other commands need no keys

    typer.echo(rotate_service_keys(Settings.load()))


@_keys.command("begin-revocations")
def keys_begin_revocations() -> None:
    """Make the empty list of revocations that a service with an identity provider's keys demands. Prints its place."""
    from mlops_assets.serving.identity.credentials import begin_service_revocations  # noqa: PLC0415  other commands need no keys

    typer.echo(begin_service_revocations(Settings.load()))


@_keys.command("retire", context_settings=_IDS)
def keys_retire(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as rotate printed it.")],
    *,
    models: Annotated[bool, typer.Option("--models", help="A key that signs models and exports, not tokens.")] = False,
) -> None:
    """Refuse whatever this key signed, from now on; a running service follows within a second."""
    from mlops_assets.serving.identity import credentials  # noqa: PLC0415  other commands need no keys

    retire = credentials.retire_model_key if models else credentials.retire_service_key
    retire(Settings.load(), key_id)
