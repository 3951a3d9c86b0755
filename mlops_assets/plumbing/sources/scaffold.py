"""What ``dg scaffold defs mlops_assets.FileSource orders`` writes: a declaration, and the contract that it names.

Put here the two files as they begin. Keep out anything that only one kind of source knows (its ``EXAMPLE``).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

import click
import dagster as dg

from mlops_assets.platform.identifiers import is_identifier

if TYPE_CHECKING:
    from pathlib import Path

_CONTRACT: Final = '''\
"""The table raw/{table}: its columns, and the rules that its rows keep."""

from __future__ import annotations

import dagster as dg
import ibis.expr.datatypes as dt
import pandera.ibis as pa

import mlops_assets as ma


class {model}(pa.DataFrameModel):
    """One row for each ... of a month."""

    month: dt.String
    {table}_id: dt.Int64
    # Further columns, each with its rules: amount: dt.Float64 = pa.Field(ge=0)
    # A column with personal data: email: dt.String = pa.Field(metadata={{"personal": True}})

    class Config:
        """What tells the rows of a month apart."""

        unique = ("month", "{table}_id")


{constant} = ma.Contract(
    layer="raw",
    table="{table}",
    model={model},
    lake=ma.Lake("restricted", personal=True),
    description="...",
    owners=["team:plumbing"],
    partitions_def=dg.MonthlyPartitionsDefinition("2024-01", fmt="%Y-%m"),
    partition_columns={{"month": "month"}},
)
'''


_NO_UPKEEP: Final = """\
{file} does not call ma.build_defs yet: rows are published all the same, but nobody is alerted, and nothing
repairs or automates. Once for all sources, it returns

    ma.build_defs([dg.load_from_defs_folder(path_within_project=Path(__file__).parent)], name="...")
"""


class SourceScaffolder(dg.Scaffolder[Any]):
    """Writes ``contract.py`` and ``defs.yaml``, which names it."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write both into the folder that Dagster has made."""
        module, _, kind = request.type_name.rpartition(".")
        example = getattr(importlib.import_module(module), kind).EXAMPLE
        folder = request.target_path
        table = folder.name.lower().replace("-", "_")
        table = table if is_identifier(table) else "rows"
        names = {"table": table, "constant": table.upper(), "model": table.title().replace("_", "")}
        contract = folder / "contract.py"
        if not contract.exists():
            contract.write_text(_CONTRACT.format(**names), encoding="utf-8")
        within = f"{_module(folder, request.project_root)}.contract.{names['constant']}"
        dg.scaffold_component(request, {"contract": within, **example})
        above = (each / "definitions.py" for each in folder.parents)
        definitions = next((file for file in above if file.is_file()), None)
        if definitions is not None and "build_defs" not in definitions.read_text(encoding="utf-8"):
            click.echo(_NO_UPKEEP.format(file=definitions))


def _module(folder: Path, root: Path | None) -> str:
    parts = folder.relative_to(root).parts if root is not None else (folder.name,)
    return ".".join(parts[1:] if parts[0] == "src" else parts)
