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
    DatesOption,
    DecimalOption,
    DespiteOption,
    EncodingOption,
    ExplainedOption,
    GroupOption,
    IdOption,
    NameOption,
    PanelArgument,
    TimeOption,
    UnitOption,
)
from mlops_assets.cli_variance import allowances, names, refusals
from mlops_assets.platform.errors import PlatformError

app = typer.Typer(no_args_is_help=True, help="Write a self-contained HTML page, readable offline.")

_OutOption = Annotated[Path, typer.Option(help="HTML file to write; replaced if it exists.")]
_TitleOption = Annotated[str, typer.Option(help="Title of the page.")]
_NameOption = Annotated[
    str | None,
    typer.Option(
        help="What the page calls it: 'branch', or 'sales person,sales people'; else as its column, if a word."
    ),
]


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
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    dates: DatesOption = None,
    title: _TitleOption = "What changed",
    entity_name: _NameOption = None,
    unit_name: _NameOption = None,
    group_name: _NameOption = None,
) -> None:
    """The whole history of a panel: a timeline of named events, and every unit's series, cut where it changed."""
    from mlops_assets.variance.files.opening import Reading  # noqa: PLC0415  --help needs no engine
    from mlops_assets.variance.panel.panels import Columns  # noqa: PLC0415
    from mlops_assets.variance.report.file_reports import history_of  # noqa: PLC0415
    from mlops_assets.variance.report.reports import history_page  # noqa: PLC0415
    from mlops_assets.variance.report.words import Words  # noqa: PLC0415

    words = Words.called(entity=entity_name or "", unit=unit_name or unit, group=group_name or group)
    with refusals(panel):
        columns = Columns(
            unit=unit,
            group=group,
            time=time,
            measures=names(measures),
            weight=weight,
            entity=entity,
            reading=Reading(encoding=encoding, decimal=decimal, dates=dates),
        )
        told = history_of(panel, columns, title=title, words=words)
    _write(history_page(told), len(told.happenings), out)


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
    entity_name: _NameOption = None,
    unit_name: _NameOption = None,
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    despite: DespiteOption = "",
) -> None:
    """Two snapshots: what happened, each change by cause, and who went where when the map was redrawn."""
    from mlops_assets.variance.files.opening import Reading  # noqa: PLC0415  --help needs no engine
    from mlops_assets.variance.report.file_reports import comparison_of  # noqa: PLC0415
    from mlops_assets.variance.report.reports import comparison_page  # noqa: PLC0415
    from mlops_assets.variance.report.words import Words  # noqa: PLC0415

    allowed = allowances(despite)
    with refusals(before, after):
        told = comparison_of(
            before,
            after,
            entity=id_,
            unit=unit,
            attributes=names(attributes),
            address=names(address) if address else (),
            title=title,
            words=Words.called(entity=entity_name or id_, unit=unit_name or unit),
            reading=Reading(encoding=encoding, decimal=decimal),
            despite=allowed,
        )
    _write(comparison_page(told), len(told.happenings), out)


def _write(page: str, events: int, out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise PlatformError(
            source=f"File {out}", culprit=f"cannot be written: {error.strerror}.", remedy="Name another with --out."
        ) from error
    typer.echo(f"{events:,} named event{'' if events == 1 else 's'}; see {out}")
