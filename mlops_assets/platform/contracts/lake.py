"""Lakes as declared: what a lake is called, whether personal data may be in it, and where it is.

Put here the declaration, which is a Dagster resource. Keep out what happens in a lake (that is the room ``lake``).
"""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import dagster as dg
from pydantic import Field, InstanceOf, SecretStr, ValidationError

from mlops_assets.platform.catalog_address import SQLITE, problem_of
from mlops_assets.platform.contracts.arguments import require
from mlops_assets.platform.errors import ContractError, SettingsError
from mlops_assets.platform.identifiers import is_identifier

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlops_assets.platform.settings import LakeSettings, Settings


class Lake(dg.ConfigurableResource[Any]):
    """A lake: a DuckLake catalog with a folder of Parquet files.

    What is left out comes from the settings of that lake (``MLOPS_ASSETS_LAKES__<NAME>__CATALOG``, ``__PASSWORD``,
    ``__DATA_PATH``, or secret files of these names), and without those the lake lies in the home folder. ``catalog``,
    ``password_file`` and ``data_path`` may be a ``dg.EnvVar``.

    Attributes:
        name: the lake's name, in lower case; also its resource key.
        personal: whether tables with personal columns may be in it.
        catalog: ``sqlite`` for a file in the home folder, else a libpq connection string without password.
        password_file: file with the password of the catalog's account.
        data_path: folder of the Parquet files.

    Example:
        >>> import dagster as dg
        >>> import mlops_assets as ma
        >>> restricted = ma.Lake("restricted", personal=True)
        >>> curated = ma.Lake("curated", catalog=dg.EnvVar("CURATED_CATALOG"), password_file="/run/secrets/curated")
    """

    name: str
    personal: bool = False
    catalog: str | None = Field(default=None, description="'sqlite', or a libpq connection string without password.")
    password_file: str | None = Field(default=None, description="File with the password of the catalog's account.")
    data_path: str | None = Field(default=None, description="Folder of the Parquet files.")

    def __init__(self, name: str, **fields: Any) -> None:  # noqa: ANN401  the fields above, by name
        """Declare the lake.

        Raises:
            ContractError: the name is not made of lower-case letters, digits and underscores, a field is misspelt, or
                the catalog is none.
        """
        for field in fields.keys() - type(self).model_fields.keys():
            near = difflib.get_close_matches(field, type(self).model_fields, n=1)
            raise ContractError(
                source=f"Lake {name}, {field}=",
                culprit="there is no such field.",
                remedy=f"Did you mean {near[0]}?" if near else f"There are {', '.join(type(self).model_fields)}.",
            )
        require("A lake", "name", name, str, "Give a text: Lake('curated').")
        catalog = fields.get("catalog")
        # A dg.EnvVar is a text, too: its name.
        problem = problem_of(str(catalog)) if catalog and not isinstance(catalog, dg.EnvVar) else None
        if problem is not None:
            raise ContractError(
                source=f"Lake {name}",
                culprit=f"its catalog {problem}.",
                remedy="A SQLite catalog lies in the home folder (MLOPS_ASSETS_HOME) and needs no path; a server's "
                "password comes from password_file or the lake's settings.",
            )
        if not is_identifier(name):
            raise ContractError(
                source=f"Lake {name}",
                culprit="its name is not made of lower-case letters, digits and underscores.",
                remedy="Rename it.",
            )
        try:
            super().__init__(**{"name": name, **fields})
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
            raise ContractError(
                source=f"Lake {name}, {'.'.join(map(str, found['loc']))}=",
                culprit=f"it is of type {type(found['input']).__name__}.",
                remedy=f"{found['msg']}.",
            ) from None

    def __str__(self) -> str:
        """The lake's name."""
        return self.name


def placed(settings: Settings, lakes: Iterable[Lake]) -> Settings:
    """The settings with these lakes where they say themselves that they are.

    Args:
        settings: where the lakes are that do not say so.
        lakes: with every ``dg.EnvVar`` replaced by its value, as in a run's resources.

    Raises:
        SettingsError: the file of a password cannot be read, or a variable holds no catalog's address.
    """
    places = {lake.name: _place(lake, settings.lake(lake.name)) for lake in lakes}
    return settings.model_copy(update={"lakes": {**settings.lakes, **places}})


def _place(lake: Lake, place: LakeSettings) -> LakeSettings:
    said: dict[str, Any] = {}
    if lake.catalog is not None:
        said["catalog"] = lake.catalog
    if lake.data_path is not None:
        said["data_path"] = Path(lake.data_path)
    if lake.password_file is not None:
        try:
            said["password"] = SecretStr(Path(lake.password_file).read_text().strip())
        except OSError as error:
            raise SettingsError(
                source=f"Lake {lake.name}",
                culprit=f"the file of its password cannot be read ({error.strerror}).",
                remedy="Name one in password_file that this account may read.",
            ) from error
    problem = problem_of(said.get("catalog", SQLITE))
    if problem is not None:
        raise SettingsError(
            source=f"Lake {lake.name}",
            culprit=f"its catalog {problem}.",
            remedy="Correct the variable that its declaration names.",
        )
    return place.model_copy(update=said)


def _resolved(context: dg.ResolutionContext, value: Any) -> Lake:  # noqa: ANN401  of a YAML document
    found = context.resolve_value(value)
    if isinstance(found, Lake):
        return found
    module, _, name = str(found).rpartition(".")
    try:
        lake = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        lake = None
    if isinstance(lake, Lake):
        return lake
    raise ContractError(
        source=f"Lake {found}",
        culprit="there is no ma.Lake of that name.",
        remedy="Write package.module.NAME of one, as it would be imported.",
    )


LakeField = Annotated[
    InstanceOf[Lake],
    dg.Resolver(_resolved, model_field_type=str, description="Dotted name of an ma.Lake.", examples=["shop.CURATED"]),
]
"""A lake among the attributes of a component: in YAML the dotted name of it."""
