"""mlops_assets: raw extracts to served predictions, as audited and versioned Dagster assets.

Holds the version of the package and the names that other projects use, each looked up in the module that defines it
when it is first asked for: importing the package alone costs nothing. Put a name here when a team's own project needs
it. Keep out what only our own code uses; that imports from the defining module.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mlops_assets.modeling.online_monitoring import OnlineMonitoring as OnlineMonitoring
    from mlops_assets.platform.assets.asset import asset as asset
    from mlops_assets.platform.assets.automation import on_new_data as on_new_data
    from mlops_assets.platform.assets.definitions import build_defs as build_defs
    from mlops_assets.platform.assets.inputs import In as In
    from mlops_assets.platform.assets.io_manager import LakeIOManager as LakeIOManager
    from mlops_assets.platform.assets.served import Served as Served
    from mlops_assets.platform.assets.served_model import ServedModel as ServedModel
    from mlops_assets.platform.assets.step import Partition as Partition
    from mlops_assets.platform.contracts.contract import Contract as Contract
    from mlops_assets.platform.contracts.contract import Quarantine as Quarantine
    from mlops_assets.platform.contracts.lake import Lake as Lake
    from mlops_assets.platform.contracts.volume import Volume as Volume
    from mlops_assets.platform.errors import PlatformError as PlatformError
    from mlops_assets.platform.settings import Settings as Settings
    from mlops_assets.plumbing.sources.combined.parts import Part as Part
    from mlops_assets.plumbing.sources.combined.source import Combined as Combined
    from mlops_assets.plumbing.sources.command.source import CommandSource as CommandSource
    from mlops_assets.plumbing.sources.conformance import SourceConformance as SourceConformance
    from mlops_assets.plumbing.sources.delivered import Delivered as Delivered
    from mlops_assets.plumbing.sources.delivered import Request as Request
    from mlops_assets.plumbing.sources.dlt import DltSource as DltSource
    from mlops_assets.plumbing.sources.files.inference_log import InferenceLog as InferenceLog
    from mlops_assets.plumbing.sources.files.source import FileSource as FileSource
    from mlops_assets.plumbing.sources.files.versioned import VersionedFile as VersionedFile
    from mlops_assets.plumbing.sources.files.wholeness import Checksum as Checksum
    from mlops_assets.plumbing.sources.files.wholeness import Manifest as Manifest
    from mlops_assets.plumbing.sources.files.wholeness import Marker as Marker
    from mlops_assets.plumbing.sources.files.wholeness import Quiet as Quiet
    from mlops_assets.plumbing.sources.formats.excel import Excel as Excel
    from mlops_assets.plumbing.sources.formats.json_lines import JsonLines as JsonLines
    from mlops_assets.plumbing.sources.formats.kinds import Delimited as Delimited
    from mlops_assets.plumbing.sources.formats.kinds import FixedWidth as FixedWidth
    from mlops_assets.plumbing.sources.formats.kinds import Parquet as Parquet
    from mlops_assets.plumbing.sources.http.auth import ApiKey as ApiKey
    from mlops_assets.plumbing.sources.http.auth import Basic as Basic
    from mlops_assets.plumbing.sources.http.auth import Bearer as Bearer
    from mlops_assets.plumbing.sources.http.auth import ClientCertificate as ClientCertificate
    from mlops_assets.plumbing.sources.http.auth import OAuth2 as OAuth2
    from mlops_assets.plumbing.sources.http.file import HttpFileSource as HttpFileSource
    from mlops_assets.plumbing.sources.http.limits import FileLimits as FileLimits
    from mlops_assets.plumbing.sources.http.limits import Limits as Limits
    from mlops_assets.plumbing.sources.http.pages import Cursor as Cursor
    from mlops_assets.plumbing.sources.http.pages import LinkHeader as LinkHeader
    from mlops_assets.plumbing.sources.http.pages import NextAddress as NextAddress
    from mlops_assets.plumbing.sources.http.pages import Offset as Offset
    from mlops_assets.plumbing.sources.http.pages import PageNumber as PageNumber
    from mlops_assets.plumbing.sources.http.rest import RestSource as RestSource
    from mlops_assets.plumbing.sources.increments import Since as Since
    from mlops_assets.plumbing.sources.secret import Secret as Secret
    from mlops_assets.plumbing.sources.source import Source as Source
    from mlops_assets.plumbing.sources.sql.databases import MySql as MySql
    from mlops_assets.plumbing.sources.sql.databases import Postgres as Postgres
    from mlops_assets.plumbing.sources.sql.databases import Sqlite as Sqlite
    from mlops_assets.plumbing.sources.sql.source import SqlSource as SqlSource
    from mlops_assets.wrangling.comparisons.declaration import Compare as Compare
    from mlops_assets.wrangling.mapping import adds_up as adds_up
    from mlops_assets.wrangling.mapping import mapped as mapped
    from mlops_assets.wrangling.pseudonyms import pseudonymised as pseudonymised

__version__ = "0.1.0"

_DEFINED_IN: Final = {
    "ApiKey": "mlops_assets.plumbing.sources.http.auth",
    "Basic": "mlops_assets.plumbing.sources.http.auth",
    "Bearer": "mlops_assets.plumbing.sources.http.auth",
    "Checksum": "mlops_assets.plumbing.sources.files.wholeness",
    "ClientCertificate": "mlops_assets.plumbing.sources.http.auth",
    "Combined": "mlops_assets.plumbing.sources.combined.source",
    "CommandSource": "mlops_assets.plumbing.sources.command.source",
    "Compare": "mlops_assets.wrangling.comparisons.declaration",
    "Contract": "mlops_assets.platform.contracts.contract",
    "Cursor": "mlops_assets.plumbing.sources.http.pages",
    "Delimited": "mlops_assets.plumbing.sources.formats.kinds",
    "Delivered": "mlops_assets.plumbing.sources.delivered",
    "DltSource": "mlops_assets.plumbing.sources.dlt",
    "Excel": "mlops_assets.plumbing.sources.formats.excel",
    "FileLimits": "mlops_assets.plumbing.sources.http.limits",
    "FileSource": "mlops_assets.plumbing.sources.files.source",
    "FixedWidth": "mlops_assets.plumbing.sources.formats.kinds",
    "HttpFileSource": "mlops_assets.plumbing.sources.http.file",
    "In": "mlops_assets.platform.assets.inputs",
    "JsonLines": "mlops_assets.plumbing.sources.formats.json_lines",
    "InferenceLog": "mlops_assets.plumbing.sources.files.inference_log",
    "Lake": "mlops_assets.platform.contracts.lake",
    "LakeIOManager": "mlops_assets.platform.assets.io_manager",
    "Limits": "mlops_assets.plumbing.sources.http.limits",
    "LinkHeader": "mlops_assets.plumbing.sources.http.pages",
    "Manifest": "mlops_assets.plumbing.sources.files.wholeness",
    "Marker": "mlops_assets.plumbing.sources.files.wholeness",
    "MySql": "mlops_assets.plumbing.sources.sql.databases",
    "NextAddress": "mlops_assets.plumbing.sources.http.pages",
    "OAuth2": "mlops_assets.plumbing.sources.http.auth",
    "Offset": "mlops_assets.plumbing.sources.http.pages",
    "OnlineMonitoring": "mlops_assets.modeling.online_monitoring",
    "PageNumber": "mlops_assets.plumbing.sources.http.pages",
    "Parquet": "mlops_assets.plumbing.sources.formats.kinds",
    "Part": "mlops_assets.plumbing.sources.combined.parts",
    "Partition": "mlops_assets.platform.assets.step",
    "PlatformError": "mlops_assets.platform.errors",
    "Postgres": "mlops_assets.plumbing.sources.sql.databases",
    "Quarantine": "mlops_assets.platform.contracts.contract",
    "Quiet": "mlops_assets.plumbing.sources.files.wholeness",
    "Request": "mlops_assets.plumbing.sources.delivered",
    "RestSource": "mlops_assets.plumbing.sources.http.rest",
    "Secret": "mlops_assets.plumbing.sources.secret",
    "Served": "mlops_assets.platform.assets.served",
    "ServedModel": "mlops_assets.platform.assets.served_model",
    "Settings": "mlops_assets.platform.settings",
    "Since": "mlops_assets.plumbing.sources.increments",
    "Source": "mlops_assets.plumbing.sources.source",
    "SourceConformance": "mlops_assets.plumbing.sources.conformance",
    "SqlSource": "mlops_assets.plumbing.sources.sql.source",
    "Sqlite": "mlops_assets.plumbing.sources.sql.databases",
    "VersionedFile": "mlops_assets.plumbing.sources.files.versioned",
    "Volume": "mlops_assets.platform.contracts.volume",
    "adds_up": "mlops_assets.wrangling.mapping",
    "asset": "mlops_assets.platform.assets.asset",
    "build_defs": "mlops_assets.platform.assets.definitions",
    "mapped": "mlops_assets.wrangling.mapping",
    "on_new_data": "mlops_assets.platform.assets.automation",
    "pseudonymised": "mlops_assets.wrangling.pseudonyms",
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
