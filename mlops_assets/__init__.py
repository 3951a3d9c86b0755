"""mlops_assets: raw extracts to served predictions, as audited and versioned Dagster assets.

Holds the version of the package and the names that other projects use, each looked up in the module that defines it
when it is first asked for: importing the package alone costs nothing. Put a name here when a team's own project needs
it. Keep out what only our own code uses; that imports from the defining module.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mlops_assets.platform.assets.asset import asset as asset
    from mlops_assets.platform.assets.automation import on_new_data as on_new_data
    from mlops_assets.platform.assets.definitions import build_defs as build_defs
    from mlops_assets.platform.assets.inputs import In as In
    from mlops_assets.platform.assets.io_manager import LakeIOManager as LakeIOManager
    from mlops_assets.platform.assets.step import Partition as Partition
    from mlops_assets.platform.contracts.contract import Contract as Contract
    from mlops_assets.platform.contracts.contract import Quarantine as Quarantine
    from mlops_assets.platform.contracts.lake import Lake as Lake
    from mlops_assets.platform.contracts.volume import Volume as Volume
    from mlops_assets.platform.errors import PlatformError as PlatformError
    from mlops_assets.plumbing.sources.auth import ApiKey as ApiKey
    from mlops_assets.plumbing.sources.auth import Basic as Basic
    from mlops_assets.plumbing.sources.auth import Bearer as Bearer
    from mlops_assets.plumbing.sources.auth import ClientCertificate as ClientCertificate
    from mlops_assets.plumbing.sources.auth import OAuth2 as OAuth2
    from mlops_assets.plumbing.sources.combined import Combined as Combined
    from mlops_assets.plumbing.sources.command import CommandSource as CommandSource
    from mlops_assets.plumbing.sources.conformance import SourceConformance as SourceConformance
    from mlops_assets.plumbing.sources.databases import MySql as MySql
    from mlops_assets.plumbing.sources.databases import Postgres as Postgres
    from mlops_assets.plumbing.sources.databases import Sqlite as Sqlite
    from mlops_assets.plumbing.sources.delivered import Delivered as Delivered
    from mlops_assets.plumbing.sources.delivered import Request as Request
    from mlops_assets.plumbing.sources.dlt import DltSource as DltSource
    from mlops_assets.plumbing.sources.excel import Excel as Excel
    from mlops_assets.plumbing.sources.files import FileSource as FileSource
    from mlops_assets.plumbing.sources.formats import Delimited as Delimited
    from mlops_assets.plumbing.sources.formats import FixedWidth as FixedWidth
    from mlops_assets.plumbing.sources.formats import Parquet as Parquet
    from mlops_assets.plumbing.sources.http_file import HttpFileSource as HttpFileSource
    from mlops_assets.plumbing.sources.http_limits import FileLimits as FileLimits
    from mlops_assets.plumbing.sources.http_limits import Limits as Limits
    from mlops_assets.plumbing.sources.increments import Since as Since
    from mlops_assets.plumbing.sources.json_lines import JsonLines as JsonLines
    from mlops_assets.plumbing.sources.pages import Cursor as Cursor
    from mlops_assets.plumbing.sources.pages import LinkHeader as LinkHeader
    from mlops_assets.plumbing.sources.pages import NextAddress as NextAddress
    from mlops_assets.plumbing.sources.pages import Offset as Offset
    from mlops_assets.plumbing.sources.pages import PageNumber as PageNumber
    from mlops_assets.plumbing.sources.parts import Part as Part
    from mlops_assets.plumbing.sources.rest import RestSource as RestSource
    from mlops_assets.plumbing.sources.secret import Secret as Secret
    from mlops_assets.plumbing.sources.source import Source as Source
    from mlops_assets.plumbing.sources.sql import SqlSource as SqlSource
    from mlops_assets.plumbing.sources.versioned import VersionedFile as VersionedFile
    from mlops_assets.plumbing.sources.wholeness import Checksum as Checksum
    from mlops_assets.plumbing.sources.wholeness import Manifest as Manifest
    from mlops_assets.plumbing.sources.wholeness import Marker as Marker
    from mlops_assets.plumbing.sources.wholeness import Quiet as Quiet
    from mlops_assets.wrangling.mapping import adds_up as adds_up
    from mlops_assets.wrangling.mapping import mapped as mapped

__version__ = "0.1.0"

_DEFINED_IN: Final = {
    "ApiKey": "mlops_assets.plumbing.sources.auth",
    "Basic": "mlops_assets.plumbing.sources.auth",
    "Bearer": "mlops_assets.plumbing.sources.auth",
    "Checksum": "mlops_assets.plumbing.sources.wholeness",
    "ClientCertificate": "mlops_assets.plumbing.sources.auth",
    "Combined": "mlops_assets.plumbing.sources.combined",
    "CommandSource": "mlops_assets.plumbing.sources.command",
    "Contract": "mlops_assets.platform.contracts.contract",
    "Cursor": "mlops_assets.plumbing.sources.pages",
    "Delimited": "mlops_assets.plumbing.sources.formats",
    "Delivered": "mlops_assets.plumbing.sources.delivered",
    "DltSource": "mlops_assets.plumbing.sources.dlt",
    "Excel": "mlops_assets.plumbing.sources.excel",
    "FileLimits": "mlops_assets.plumbing.sources.http_limits",
    "FileSource": "mlops_assets.plumbing.sources.files",
    "FixedWidth": "mlops_assets.plumbing.sources.formats",
    "HttpFileSource": "mlops_assets.plumbing.sources.http_file",
    "In": "mlops_assets.platform.assets.inputs",
    "JsonLines": "mlops_assets.plumbing.sources.json_lines",
    "Lake": "mlops_assets.platform.contracts.lake",
    "LakeIOManager": "mlops_assets.platform.assets.io_manager",
    "Limits": "mlops_assets.plumbing.sources.http_limits",
    "LinkHeader": "mlops_assets.plumbing.sources.pages",
    "Manifest": "mlops_assets.plumbing.sources.wholeness",
    "Marker": "mlops_assets.plumbing.sources.wholeness",
    "MySql": "mlops_assets.plumbing.sources.databases",
    "NextAddress": "mlops_assets.plumbing.sources.pages",
    "OAuth2": "mlops_assets.plumbing.sources.auth",
    "Offset": "mlops_assets.plumbing.sources.pages",
    "PageNumber": "mlops_assets.plumbing.sources.pages",
    "Parquet": "mlops_assets.plumbing.sources.formats",
    "Part": "mlops_assets.plumbing.sources.parts",
    "Partition": "mlops_assets.platform.assets.step",
    "PlatformError": "mlops_assets.platform.errors",
    "Postgres": "mlops_assets.plumbing.sources.databases",
    "Quarantine": "mlops_assets.platform.contracts.contract",
    "Quiet": "mlops_assets.plumbing.sources.wholeness",
    "Request": "mlops_assets.plumbing.sources.delivered",
    "RestSource": "mlops_assets.plumbing.sources.rest",
    "Secret": "mlops_assets.plumbing.sources.secret",
    "Since": "mlops_assets.plumbing.sources.increments",
    "Source": "mlops_assets.plumbing.sources.source",
    "SourceConformance": "mlops_assets.plumbing.sources.conformance",
    "SqlSource": "mlops_assets.plumbing.sources.sql",
    "Sqlite": "mlops_assets.plumbing.sources.databases",
    "VersionedFile": "mlops_assets.plumbing.sources.versioned",
    "Volume": "mlops_assets.platform.contracts.volume",
    "adds_up": "mlops_assets.wrangling.mapping",
    "asset": "mlops_assets.platform.assets.asset",
    "build_defs": "mlops_assets.platform.assets.definitions",
    "mapped": "mlops_assets.wrangling.mapping",
    "on_new_data": "mlops_assets.platform.assets.automation",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  whatever has that name
    """A public name, from the module that defines it."""
    if name not in _DEFINED_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_DEFINED_IN[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*_DEFINED_IN, *(name for name in globals() if name.startswith("__"))})
