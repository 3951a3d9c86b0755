"""The cache of fetched files: the last body of an address beside its ETag, so that an unchanged file is not sent again.

Put here how an entry is written and verified. Keep out when a source is asked (that is the fetch layer).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.platform.durable_files import replace_durably

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    """A body as a source sent it, with the ETag under which the source knows it."""

    etag: str
    body: bytes


@dataclass(frozen=True)
class HttpCache:
    """A folder with one file per address: a line of JSON (address, ETag, SHA-256), then the body.

    One file per address is replaced as a whole, so that processes sharing the folder never see half an entry. It only
    ever saves a download: a missing, torn or altered entry counts as none.

    Attributes:
        folder: made when the first entry is written.
    """

    folder: Path

    def _path(self, address: str) -> Path:
        return self.folder / f"{hashlib.sha256(address.encode()).hexdigest()}.entry"

    def read(self, address: str) -> CacheEntry | None:
        """The entry of that address, if there is one and its body still has the SHA-256 it was stored with."""
        try:
            head, _, body = self._path(address).read_bytes().partition(b"\n")
            stored = json.loads(head)
        except (OSError, ValueError):
            return None
        if not isinstance(stored, dict) or stored.get("address") != address:
            return None
        if stored.get("sha256") != hashlib.sha256(body).hexdigest() or not isinstance(stored.get("etag"), str):
            return None
        return CacheEntry(etag=stored["etag"], body=body)

    def write(self, address: str, entry: CacheEntry) -> None:
        """Replace the entry of that address.

        Raises:
            OSError: the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(entry.body).hexdigest()
        head = json.dumps({"address": address, "etag": entry.etag, "sha256": digest}).encode()
        replace_durably(self._path(address), head + b"\n" + entry.body, mode=0o600)
