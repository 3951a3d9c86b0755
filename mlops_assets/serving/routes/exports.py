"""The routes of exports: what answers come from, and which past versions can be asked for.

Put here what these routes take and answer. Keep out how exports are followed and kept. Annotations are read at run
time, so they are not postponed.
"""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from litestar import Response, get
from litestar.params import PathParameter
from litestar.types import ControllerRouterHandler

from mlops_assets.serving.exports.catalog import catalog_of
from mlops_assets.serving.http.answers import NOT_MODIFIED, ServiceRequest, versioned
from mlops_assets.serving.http.problems import COMMON, problem_responses
from mlops_assets.serving.identity.scopes import ACCESS, Scope

_READ: Final = {ACCESS: Scope.READ_EXPORTS}
_RESPONSES: Final = {**NOT_MODIFIED, **problem_responses(*COMMON, HTTPStatus.NOT_FOUND)}


class ExportInUse(msgspec.Struct, frozen=True):
    """An export that answers come from."""

    name: str
    export_id: str
    created: str
    rows: Annotated[dict[str, int], msgspec.Meta(description="For each of its tables how many rows it has.")]


class ExportsInUse(msgspec.Struct, frozen=True):
    """The exports in use, by name."""

    exports: list[ExportInUse]


class KeptExport(msgspec.Struct, frozen=True):
    """An export that can be asked for by its id."""

    export_id: str
    created: str
    current_since: Annotated[
        list[datetime], msgspec.Meta(description="Each time at which it became current, oldest first.")
    ]
    provenance: Annotated[
        dict[str, Any], msgspec.Meta(description="What it was made from: content hashes, versions of the program.")
    ]


class KeptExports(msgspec.Struct, frozen=True):
    """The exports of one name that are kept, oldest first."""

    name: str
    current: str
    exports: list[KeptExport]


@get(
    "/v1/exports",
    summary="What answers come from",
    opt=_READ,
    description="The exports in use: one for each table and each model.",
    responses=_RESPONSES,
)
async def exports_in_use(request: ServiceRequest) -> Response[ExportsInUse]:
    """The exports in use."""
    exports = [
        ExportInUse(
            name=served.name,
            export_id=served.export_id,
            created=served.manifest.created,
            rows={name: record.rows for name, record in served.manifest.tables.items()},
        )
        for served in catalog_of(request).served()
    ]
    version = "\n".join(f"{export.name} {export.export_id}" for export in exports)
    return versioned(request, ExportsInUse(exports), version=version)


@get(
    "/v1/exports/{name:str}",
    summary="Which versions of an export can be asked for",
    opt=_READ,
    description="The kept exports of that name and when each was current. Give an id or a time as `as_of` elsewhere.",
    responses=_RESPONSES,
)
async def kept_exports(
    request: ServiceRequest,
    name: Annotated[str, PathParameter(description="Name of an export that `/v1/exports` lists.")],
) -> Response[KeptExports]:
    """The exports of a name that are kept."""
    catalog = catalog_of(request)
    past = catalog.past(name)
    manifests, moves = await past.kept(), past.moves()
    current = catalog.export(name).export_id
    exports = [
        KeptExport(
            export_id=manifest.export_id,
            created=manifest.created,
            current_since=[move.at for move in moves if move.export_id == manifest.export_id],
            provenance=dict(manifest.provenance),
        )
        for manifest in manifests
    ]
    version = "\n".join([current, *(f"{export.export_id} {len(export.current_since)}" for export in exports)])
    return versioned(request, KeptExports(name, current, exports), version=version)


EXPORT_ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (exports_in_use, kept_exports)
