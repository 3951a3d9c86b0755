"""Files that people edit beside the declarations and keep under version control: crosswalks, mappings, code lists.

Put here what differs from files that somebody delivers: where they lie, and how it is known that one is another. Keep
out how they are parsed (``formats``) and applied (``wrangling.mapping``).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import dagster as dg
from pydantic import model_validator

from mlops_assets.platform.errors import ContractError, SourceError
from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Promise
from mlops_assets.plumbing.sources.secret import Text  # noqa: TC001  pydantic reads it
from mlops_assets.plumbing.sources.variants import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.plumbing.sources.files.places import Place

_MOST_BYTES: Final = 2**24


class VersionedFile(FileSource):
    """A file beside its declaration, which people edit and keep under version control: a crosswalk, a list of codes.

    Whoever has the project has the whole file, so nothing else says that it is complete; its last line need not end. It
    is another one when its content is: a checkout or an image with the same text asks for no run.

    Attributes:
        path: its folder. In YAML that of the declaration if not given, or one from there. In Python
            ``str(Path(__file__).parent)``.
        file: its name, as of a ``FileSource``, of which it has all other options but ``whole``.

    Example:
        >>> import ibis.expr.datatypes as dt, pandera.ibis as pa
        >>> import mlops_assets as ma
        >>> class Region(pa.DataFrameModel):
        ...     territory: dt.String
        ...     region: dt.String
        ...     class Config:
        ...         unique = ["territory"]
        >>> REGIONS = ma.Contract(
        ...     layer="raw",
        ...     table="regions",
        ...     model=Region,
        ...     lake=ma.Lake("curated"),
        ...     description="In which region a territory is.",
        ...     owners=["team:wrangling"],
        ... )
        >>> regions = ma.VersionedFile(contract=REGIONS, path="shop/defs/regions", file="regions.csv")
        >>> defs = ma.build_defs([regions], name="shop")
    """

    path: Text = ""

    KIND: ClassVar[str] = "versioned-file"
    EXAMPLE: ClassVar[Mapping[str, Any]] = {"file": "crosswalk.csv"}

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """What Dagster loads of a component: a path is one from its folder."""
        if isinstance(self.path, dg.EnvVar) or VARIABLE.search(self.path):
            return self.definitions()
        return self.model_copy(update={"path": str(context.path / self.path)}).definitions()

    @model_validator(mode="after")
    def _require_no_whole(self) -> Self:
        if "whole" in self.model_fields_set:
            raise ContractError(
                source=self.name, culprit="it says when it is whole (whole).", remedy="Leave it out: it always is."
            )
        return self

    def asset(self) -> dg.AssetsDefinition:
        """The asset that publishes the file."""
        if self.path == "":
            raise ContractError(
                source=self.name, culprit="it does not say where.", remedy="Give path=str(Path(__file__).parent)."
            )
        return super().asset()

    def promise(self, place: Place, key: str | None) -> Promise:
        """Its hash, which is its identity too."""
        path = self.path_of(place, key)
        size = place.info(path, missing="it is not there; in an image it is only if it was packed with it.").size
        if size > _MOST_BYTES:
            raise SourceError(
                source=place.name_of(path),
                culprit=f"it has {size:,} bytes, more than a file that people edit.",
                remedy="Let it be delivered, and declare it as a FileSource.",
            )
        digest = hashlib.sha256(place.start_of(path, _MOST_BYTES)).hexdigest()
        return Promise(identity=digest, sha256=digest)
