"""Where the file of a draft lies: on this machine, over HTTP, or wherever fsspec finds it.

Put here how it is fetched to be looked into, and how a declaration names its place. Keep out what is in it (``draft``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from mlops_assets.plumbing.sources.files.places import Place
from mlops_assets.plumbing.sources.http.access import Access
from mlops_assets.plumbing.sources.http.downloads import Downloader
from mlops_assets.plumbing.sources.http.limits import FileLimits

_HTTP: Final = frozenset({"http", "https"})


@dataclass(frozen=True, kw_only=True)
class DraftPlace:
    """A file's place.

    Attributes:
        folder: path or address of what holds it, without an account or a query: those may be secrets.
        name: of the file in it.
        over_http: whether it is asked for over HTTP.
        address: the whole of it.
    """

    folder: str
    name: str
    over_http: bool
    address: str

    @classmethod
    def of(cls, where: str) -> Self:
        """The place that a path or an address names."""
        if "://" not in where:
            file = Path(where)
            return cls(folder=str(file.parent), name=file.name, over_http=False, address=where)
        split = urlsplit(where)
        host = split.netloc.rpartition("@")[2]
        path, _, name = split.path.rpartition("/")
        over_http = split.scheme in _HTTP
        folder = f"{split.scheme}://{host}{path}"
        return cls(folder=folder, name=unquote(name) if over_http else name, over_http=over_http, address=where)

    def fetched(self, folder: Path) -> Path:
        """The file: in that folder, if it lies elsewhere.

        Raises:
            SourceUnavailableError: it is not there, or cannot be read.
            SourceError: what is there is no file.
            SettingsError: what its protocol needs is not installed.
        """
        target = folder / "delivered"
        if self.over_http:
            with Downloader(limits=FileLimits(), access=Access()) as client:
                client.download(self.address, target, parameters={}, headers={})
        elif "://" in self.address:
            place = Place.at(self.address.rpartition("/")[0], {})
            place.copied(f"{place.root}/{self.name}", target)
        else:
            return Path(self.address)
        return target
