"""The commands ``mlops-assets variance report ...``: self-contained pages on what changed in anyone's tables.

Put here their arguments and the files they write. Keep out what the pages tell and how they look.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlops_assets.cli_options import (
    AddressOption,
    AfterArgument,
    AttributesOption,
    BeforeArgument,
    CasesOption,
    ExplainedOption,
    GroupOption,
    IdOption,
    NameOption,
    PanelArgument,
    TimeOption,
    UnitOption,
)
from mlops_assets.cli_variance import names, refusals
from mlops_assets.platform.errors import PlatformError

app = typer.Typer(no_args_is_help=True, help="Write a self-contained HTML page, readable offline.")

_OutOption = Annotated[Path, typer.Option(help="HTML file to write; replaced if it exists.")]
_TitleOption = Annotated[str, typer.Option(help="Title of the page.")]


@app.command()
def history(
    panel: PanelArgument,
    unit: UnitOption,
    group: GroupOption,
    time: TimeOption,
    measures: Annotated[str, typer.Option(help="Columns of numbers, separated by commas; the first is drawn.")],
    out: _OutOption,
    weight: CasesOption = None,
    entity: NameOption = None,
    title: _TitleOption = "What changed",
) -> None:
    """The whole history of a panel: a timeline of named events, and every unit's series, cut where it changed."""
    from mlops_assets.variance.panel.panels import Columns  # noqa: PLC0415
    from mlops_assets.variance.report.file_reports import history_of  # noqa: PLC0415  --help needs no engine
    from mlops_assets.variance.report.reports import history_page  # noqa: PLC0415

    with refusals(panel):
        columns = Columns(unit=unit, group=group, time=time, measures=names(measures), weight=weight, entity=entity)
        told = history_of(panel, columns, title=title)
    _write(history_page(told), out)
    typer.echo(f"{len(told.happenings)} named events; see {out}")


@app.command()
def comparison(
    before: BeforeArgument,
    after: AfterArgument,
    id_: IdOption,
    unit: ExplainedOption,
    attributes: AttributesOption,
    out: _OutOption,
    address: AddressOption = None,
    title: _TitleOption = "What changed",
) -> None:
    """Two snapshots: what happened, each change by cause, and who went where when the map was redrawn."""
    from mlops_assets.variance.report.file_reports import comparison_of  # noqa: PLC0415  --help needs no engine
    from mlops_assets.variance.report.reports import comparison_page  # noqa: PLC0415

    with refusals(before):
        told = comparison_of(
            before,
            after,
            entity=id_,
            unit=unit,
            attributes=names(attributes),
            address=names(address) if address else (),
            title=title,
        )
    _write(comparison_page(told), out)
    typer.echo(f"{len(told.happenings)} named events; see {out}")


def _write(page: str, out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise PlatformError(
            source=f"File {out}", culprit=f"cannot be written: {error.strerror}.", remedy="Name another with --out."
        ) from error
