"""The commands ``mlops-assets variance ...``: named events, change points and exact splits of anyone's tables.

Put here their arguments and the files they read and write. Keep out the methods: each command calls the engine.
"""

from __future__ import annotations

import csv
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

app = typer.Typer(no_args_is_help=True, help="Name what changed in a table over time: anyone's CSV or Parquet files.")

_OutOption = Annotated[Path, typer.Option(help="CSV file to write; replaced if it exists.")]
_ShowOption = Annotated[
    bool, typer.Option("--show-values", help="Write values also of columns that look like names or identifiers.")
]


@app.command()
def detect(
    panel: PanelArgument,
    unit: UnitOption,
    group: GroupOption,
    time: TimeOption,
    measures: Annotated[str, typer.Option(help="Columns of numbers, separated by commas.")],
    out: _OutOption,
    weight: CasesOption = None,
    entity: NameOption = None,
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    dates: DatesOption = None,
    *,
    as_known: Annotated[
        bool, typer.Option("--as-known", help="By what was known at each time, which later times never change.")
    ] = False,
) -> None:
    """Name what happened to each group from each time to the next.

    Writes one row per group and time after the first: none, boundary, renumbering, units (that came or went), entry,
    population or unknown, with its probability, magnitude, the units concerned and the evidence. Lines behind the
    first tell of rows that were left out or put together.
    """
    from mlops_assets.variance.files.opening import Reading  # noqa: PLC0415  --help needs no engine
    from mlops_assets.variance.panel.as_known import detect_as_known  # noqa: PLC0415
    from mlops_assets.variance.panel.detection import detect as run  # noqa: PLC0415
    from mlops_assets.variance.panel.panels import Columns, read_panel  # noqa: PLC0415

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
        read = read_panel(panel, columns)
        events = (detect_as_known if as_known else run)(read)
    _write(events, out)
    found = sum(cause != "none" for cause in events["cause"].to_pylist())
    typer.echo(f"{found} of {events.num_rows} groups and times changed beyond the ordinary; see {out}")
    _tell(read.notes)


@app.command()
def changepoints(
    series: Annotated[Path, typer.Argument(help="CSV or Parquet file, one row per time.")],
    time: TimeOption,
    value: Annotated[list[str], typer.Option(help="Column of numbers; may be given several times, or with commas.")],
    out: _OutOption,
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    dates: DatesOption = None,
) -> None:
    """Find where one or several series changed in level, trend or scatter."""
    from mlops_assets.variance.files.opening import Reading  # noqa: PLC0415  --help needs no engine
    from mlops_assets.variance.panel.changepoints import changepoints as run  # noqa: PLC0415
    from mlops_assets.variance.panel.changepoints import read_series  # noqa: PLC0415

    with refusals(series):
        reading = Reading(encoding=encoding, decimal=decimal, dates=dates)
        read = read_series(series, time=time, values=names(",".join(value)), reading=reading)
        points = run(read)
    _write(points, out)
    typer.echo(f"{points.num_rows} change points; see {out}")
    _tell(read.notes)


@app.command()
def explain(
    before: BeforeArgument,
    after: AfterArgument,
    id_: IdOption,
    unit: ExplainedOption,
    attributes: AttributesOption,
    out: _OutOption,
    address: AddressOption = None,
    weight: Annotated[
        str | None,
        typer.Option(
            help="Column of how many people a row stands for, if the files are samples of the same people: a number of "
            "0 or more. Adds the part weighting and standard errors."
        ),
    ] = None,
    measure: Annotated[
        Literal["count", "share"], typer.Option(help="What is split: counts, or shares of a class among all of a unit.")
    ] = "count",
    order: Annotated[
        Literal["sequence", "shapley"],
        typer.Option(
            help="Undo causes one after another (entry, weighting, renumbering, boundary, movers, joiners, leavers, "
            "attributes), or take the mean over all orders of the last five."
        ),
    ] = "sequence",
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    despite: DespiteOption = "",
) -> None:
    """Split the change of every count or share between two snapshots exactly by cause.

    Writes one row per unit, attribute and category: before, the parts boundary, renumbering, movers, joiners, leavers,
    attributes, entry (and weighting), and after. Before plus parts is after. The attribute all counts everybody. With a
    weight also the standard error of each: before_error, boundary_error, ..., after_error, and change_error of after
    minus before. A share that a unit without people does not have is left empty, and so are its parts.

    Refuses two files that cannot be compared: re-keyed, reissued identifiers, unlinked, partial load, readdressed.
    """
    from mlops_assets.variance.files.opening import Reading  # noqa: PLC0415  --help needs no engine
    from mlops_assets.variance.linked.explanation import explain as run  # noqa: PLC0415

    allowed = allowances(despite)
    with refusals(before, after):
        found = run(
            before,
            after,
            entity=id_,
            unit=unit,
            attributes=names(attributes),
            address=names(address) if address else (),
            weight=weight,
            measure=measure,
            order=order,
            reading=Reading(encoding=encoding, decimal=decimal),
            despite=allowed,
        )
    for finding in found.findings:
        typer.echo(f"Warning: {finding.text}", err=True)
    _write(found.split, out)
    typer.echo(f"{found.split.num_rows} {measure}s of a unit and class; see {out}")
    _tell(found.notes)


@app.command()
def drift(
    before: Annotated[Path, typer.Argument(help="CSV or Parquet file of the earlier state of a table.")],
    after: Annotated[Path, typer.Argument(help="The later one.")],
    *,
    out: _OutOption,
    columns: Annotated[
        str | None, typer.Option(help="Columns to compare, separated by commas; all when not given.")
    ] = None,
    id_: Annotated[
        str | None,
        typer.Option("--id", help="Column that identifies an entity, if many are in both: tests are paired by it."),
    ] = None,
    encoding: EncodingOption = None,
    show_values: _ShowOption = False,
) -> None:
    """Tell how far each column moved, and whether all of them together tell the two apart.

    Writes one row per column with its distances, their chance and a verdict, the values that are gone or appeared, and
    one row for all columns together.
    """
    from mlops_assets.variance.drift.file_drift import file_drift  # noqa: PLC0415  --help needs no engine
    from mlops_assets.variance.files.opening import Reading  # noqa: PLC0415

    chosen = names(columns) if columns is not None else None
    with refusals(before, after):
        found = file_drift(
            before, after, chosen, reading=Reading(encoding=encoding), show_values=show_values, entity=id_
        )
    _write(found, out)
    moved = sum(verdict not in {"none", "unknown"} for verdict in found["drift"].to_pylist())
    typer.echo(f"{moved} of {found.num_rows} rows tell of drift; see {out}")


def names(text: str) -> tuple[str, ...]:
    """Names in a text, separated by commas; one that holds a comma stands in quotation marks."""
    read = csv.reader([text], skipinitialspace=True)
    return tuple(name.strip() for record in read for name in record if name.strip())


def allowances(despite: str) -> tuple[str, ...]:
    """What keeps two files from being compared and is put up with.

    Raises:
        PlatformError: a name is none.
    """
    from mlops_assets.variance.linked.findings import NAMES  # noqa: PLC0415  --help needs no engine

    allowed = names(despite)
    unknown = [name for name in allowed if name not in NAMES]
    if unknown:
        raise PlatformError(
            source="--despite", culprit=f"{', '.join(unknown)} is none.", remedy=f"Name some of {', '.join(NAMES)}."
        )
    return allowed


def _tell(notes: Iterable[str]) -> None:
    for note in notes:
        typer.echo(note)


def _write(table: pa.Table, out: Path) -> None:
    from pyarrow.csv import write_csv  # noqa: PLC0415  --help needs no engine

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_csv(table, out)
    except OSError as error:
        raise PlatformError(
            source=f"File {out}", culprit=f"cannot be written: {error.strerror}", remedy="Name another with --out."
        ) from error


@contextmanager
def refusals(*files: Path) -> Iterator[None]:
    """A refusal of the engine ends the command as one of the platform does, and names the file at fault."""
    from mlops_assets.variance.errors import ComparisonError  # noqa: PLC0415  --help needs no engine

    try:
        yield
    except ComparisonError as error:
        culprit, _, remedy = error.message.rstrip(".").rpartition(". ")
        source = error.source or " and ".join(str(file) for file in files)
        raise PlatformError(source=source, culprit=f"{culprit}.", remedy=f"{remedy}.") from error
