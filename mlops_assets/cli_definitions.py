"""The definitions that commands on lakes look tables up in: the project's in this folder, or those that are named.

Put here how a command finds tables, lakes and the Dagster instance. Keep out the commands.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import dagster as dg

    from mlops_assets.platform.assets.exported import Exported
    from mlops_assets.platform.contracts.contract import Contract

ModulesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--module",
        "-m",
        help="Module or file with Dagster definitions; when not given, those of the project in this folder or above"
        " (\\[tool.dg.project]), or else the voters'.",
    ),
]

_OURS: Final = "mlops_assets.definitions"


@dataclass(frozen=True, kw_only=True)
class Known:
    """What definitions say of lakes.

    Attributes:
        definitions: as loaded.
        contracts: every table that they make or read, by its asset key as text.
        exports: what the service is offered of them, by declaration.
        settings: with the lakes where the definitions place them.
    """

    definitions: Sequence[dg.Definitions]
    contracts: Mapping[str, Contract]
    exports: Sequence[Exported]
    settings: Settings

    def contract(self, table: str) -> Contract:
        """The contract of a table, by its asset key as text.

        Raises:
            SettingsError: the definitions know no such table.
        """
        if table not in self.contracts:
            raise SettingsError(
                source=f"Table {table}",
                culprit="the definitions have no table of that key.",
                remedy=f"They have {', '.join(sorted(self.contracts)) or 'none'}; --module names other definitions.",
            )
        return self.contracts[table]

    def there(self, lakes: Sequence[str] | None) -> list[str]:
        """The lakes that were named, or all that are there; looking at one that is not would make it.

        Raises:
            SettingsError: one that was named is not there, or none is.
        """
        there = self.settings.lake_names
        lost = sorted(set(lakes or ()) - set(there))
        if lost or not there:
            other = "the right home folder by MLOPS_ASSETS_HOME"
            raise SettingsError(
                source=f"The home folder {self.settings.home}",
                culprit=f"it holds no lake {lost[0]}, but {', '.join(there)}."
                if lost and there
                else "it holds no lake.",
                remedy=f"Name one of those, or {other}." if there else f"Name {other}.",
            )
        return list(lakes or there)


def known(modules: Sequence[str] | None) -> Known:
    """What the definitions of those modules say, or of the project in this folder, or the voters'.

    Raises:
        SettingsError: a module cannot be loaded or holds no definitions, or a variable of a lake is not set.
    """
    import dagster as dg  # noqa: PLC0415  --help needs no Dagster

    from mlops_assets.platform.assets.exported import export_of  # noqa: PLC0415
    from mlops_assets.platform.assets.inputs import contract_of, ins_of  # noqa: PLC0415
    from mlops_assets.platform.assets.lakes import initialised  # noqa: PLC0415
    from mlops_assets.platform.contracts.lake import Lake, placed  # noqa: PLC0415

    folders = (Path.cwd(), *Path.cwd().parents)
    found = [_loaded(name) for name in modules or [next(filter(None, map(_project, folders)), _OURS)]]
    listed = [asset for definitions in found for asset in definitions.assets or ()]
    assets = [asset for asset in listed if isinstance(asset, dg.AssetsDefinition)]
    specs = [asset for asset in listed if isinstance(asset, dg.AssetSpec)]
    read = (each.contract for asset in assets for each in ins_of(asset).values())
    own = (contract_of(asset) for each in (assets, specs) for asset in each)
    contracts = [contract for contract in (*own, *read) if contract is not None]
    resources = [each for definitions in found for each in (definitions.resources or {}).items()]
    declared = [contract.lake for contract in contracts]
    # In runs, too, a lake takes the place of the declared one only under its name.
    placing = [lake for key, lake in resources if isinstance(lake, Lake) and key == lake.name]
    lakes = {lake.name: lake for lake in (*declared, *placing)}
    return Known(
        definitions=found,
        contracts={contract.key.to_user_string(): contract for contract in contracts},
        exports=[export for asset in assets if (export := export_of(asset)) is not None],
        settings=placed(Settings.load(), [initialised(lake) for lake in lakes.values()]),
    )


def found_instance() -> dg.DagsterInstance | None:
    """The Dagster instance of ``DAGSTER_HOME``, or of the home folder; ``None`` where there is none."""
    import dagster as dg  # noqa: PLC0415  --help needs no Dagster

    from mlops_assets.deployment.instance import embedded_folder  # noqa: PLC0415

    folder = embedded_folder()
    if not (folder / "dagster.yaml").is_file():
        return None
    # The file of a demonstration's instance names its folder by it.
    os.environ.setdefault("DAGSTER_HOME", str(folder))
    return dg.DagsterInstance.from_config(str(folder))


def _project(folder: Path) -> str | None:
    """The module with the definitions of the project in that folder, as ``dg`` finds it."""
    for file, keys in (("pyproject.toml", ("tool", "dg", "project")), ("dg.toml", ("project",))):
        if (folder / file).is_file():
            said: Any = tomllib.loads((folder / file).read_text(encoding="utf-8"))
            for key in keys:
                said = said.get(key, {})
            if root := said.get("root_module"):
                return str(said.get("code_location_target_module", f"{root}.definitions"))
    return None


def _loaded(name: str) -> dg.Definitions:
    """The definitions in a module or file, found as Dagster's own commands find them.

    Raises:
        SettingsError: there is no such module, or it holds none.
    """
    import dagster as dg  # noqa: PLC0415  --help needs no Dagster
    from dagster._core.workspace.autodiscovery import (  # noqa: PLC0415
        loadable_targets_from_python_file,
        loadable_targets_from_python_module,
    )
    from dagster._utils.test.definitions import LazyDefinitions  # noqa: PLC0415

    folder = str(Path.cwd())
    try:
        targets = (
            loadable_targets_from_python_file(name, folder)
            if name.endswith(".py")
            else loadable_targets_from_python_module(name, folder)
        )
    except (dg.DagsterError, ImportError, FileNotFoundError) as error:
        raise SettingsError(
            source=f"Module {name}",
            culprit=f"it cannot be loaded, or holds no definitions ({_why(error)}).",
            remedy="Name a module on the path, or a file that ends in .py, with dg.Definitions in it.",
        ) from error
    target = targets[0].target_definition
    if isinstance(target, LazyDefinitions):
        target = target()
    if isinstance(target, dg.Definitions):
        return target
    return dg.Definitions(assets=target if isinstance(target, list) else [])


def _why(error: BaseException) -> str:
    """The type of an error; for a module that is not there, which one."""
    lost = error if isinstance(error, ModuleNotFoundError) else error.__cause__
    return f"no module {lost.name}" if isinstance(lost, ModuleNotFoundError) else type(error).__name__
