"""Arguments and options that several commands on tables share.

Put here what means the same in all of them. Keep out commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

PanelArgument = Annotated[Path, typer.Argument(help="CSV or Parquet file, one row per unit and time.")]
BeforeArgument = Annotated[
    Path, typer.Argument(help="CSV or Parquet file of the earlier snapshot, one row per entity.")
]
AfterArgument = Annotated[Path, typer.Argument(help="The later snapshot, with the same columns.")]
UnitOption = Annotated[str, typer.Option(help="Column that names a unit within its group, such as a district.")]
GroupOption = Annotated[str, typer.Option(help="Column of what units belong to, such as a state.")]
TimeOption = Annotated[
    str, typer.Option(help="Column that orders the rows: numbers, years, quarters, months, days or moments.")
]
CasesOption = Annotated[str | None, typer.Option(help="Column of the number of cases behind a row's shares.")]
NameOption = Annotated[str | None, typer.Option(help="Column of a name that should stay in its unit.")]
IdOption = Annotated[str, typer.Option("--id", help="Column that identifies an entity in both.")]
ExplainedOption = Annotated[str, typer.Option(help="Column of the unit whose statistics are explained.")]
AttributesOption = Annotated[str, typer.Option(help="Columns of classes, separated by commas.")]
AddressOption = Annotated[
    str | None, typer.Option(help="Columns that say where an entity is; without any, nobody counts as moved.")
]
EncodingOption = Annotated[
    str | None,
    typer.Option(help="Encoding of text that is not UTF-8 and bears no mark: latin-1, cp1252, utf-16-le, ..."),
]
DecimalOption = Annotated[
    Literal["point", "comma"] | None,
    typer.Option(help="What stands before decimals, where numbers can be read in two ways, such as 1,291."),
]
DatesOption = Annotated[
    Literal["day-first", "month-first"] | None,
    typer.Option(help="What stands first in dates that can be read in two ways, such as 05/01/2017."),
]

DespiteOption = Annotated[
    str,
    typer.Option(
        help="Go on although the two cannot be compared: what was named, with commas, such as 'partial load'."
    ),
]
