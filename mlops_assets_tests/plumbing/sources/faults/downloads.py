"""Rounds on files over HTTP: downloads that break off, go on with something else, or are not what was promised.

Put here how such a file is declared, and what counts as complete. Keep out what is answered (``file_service``).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mlops_assets.plumbing.sources.files.wholeness import Checksum
from mlops_assets.plumbing.sources.http.auth import Bearer
from mlops_assets.plumbing.sources.http.file import HttpFileSource
from mlops_assets.plumbing.sources.http.limits import FileLimits
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets_tests.plumbing.sources.faults.answers import SIGNATURE
from mlops_assets_tests.plumbing.sources.faults.dialects import Dialect, contract
from mlops_assets_tests.plumbing.sources.faults.file_service import FaultyServer
from mlops_assets_tests.plumbing.sources.faults.packings import unpacked
from mlops_assets_tests.plumbing.sources.faults.reference import RefusedError, Row
from mlops_assets_tests.plumbing.sources.faults.rounds import SECRET, Bench, Case, complete
from mlops_assets_tests.plumbing.sources.faults.visits import MONTH, MONTHS, NAMES, Texts

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from mlops_assets.platform.errors import PlatformError

_KEYS: Final = tuple(MONTHS.get_partition_keys())
_QUICK: Final = FileLimits(
    connect_seconds=1.0,
    answer_seconds=2.0,
    idle_seconds=0.2,
    total_seconds=5.0,
    attempts=3,
    first_delay_seconds=0.002,
    longest_delay_seconds=0.05,
)
_MOST_ASKED: Final = 40


class _File:
    """A file of one partition or of all, packed or not."""

    def __init__(self, chance: random.Random) -> None:
        self._dialect = Dialect(chance)
        self.shared = chance.random() < 0.2
        self._pack = chance.choice(["", "", "", "gzip", "zip"])
        self._chance = chance
        if self.shared:
            self._dialect.headed = True
        self.format = self._dialect.format()

    def made(self) -> bytes:
        given: list[Texts] = self._dialect.rows()
        if self.shared:
            for each in given:
                each["month"] = self._chance.choice(_KEYS)
            given[0]["month"] = MONTH
        content = self._dialect.written([*NAMES, "month"] if self.shared else NAMES, given)
        if self._pack == "zip":
            target = io.BytesIO()
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("visits.csv", content)
            return target.getvalue()
        return gzip.compress(content) if self._pack else content

    def rows(self, content: bytes) -> list[list[Row]]:
        """What counts as complete of those bytes, where they are known to be all."""
        try:
            given = self._dialect.read(unpacked(content), proven=True)
            if self.shared and not {each.get("month") for each in given} <= {*_KEYS}:
                return []
            own = [each for each in given if each.get("month", MONTH) == MONTH]
            return complete(own) if self.shared else complete(given)
        except RefusedError:
            return []


@contextmanager
def files(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """A file whose download breaks off, goes on with another one, or is not what was promised."""
    del bench
    file = _File(chance)
    content, other = file.made(), file.made()
    path = "/all.csv" if file.shared else f"/{MONTH}.csv"
    with FaultyServer(chance, path, content, other) as server:
        server.manners.secret = f"Bearer {SECRET}"
        proven = chance.random() < 0.4 or server.fault in {"beside", "half written", "changed in silence"}
        beside = server.beside() if proven else ""
        source = HttpFileSource(
            contract=contract(chance),
            url=f"{server.url}/{'all' if file.shared else '{month}'}.csv?signature={SIGNATURE}",
            auth=Bearer(secret=Secret(file="token")),
            format=file.format,
            whole=Checksum() if proven else None,
            limits=_QUICK,
        )

        def heal() -> None:
            server.heal()
            server.files[f"{path}.sha256"] = f"{hashlib.sha256(content).hexdigest()}  {path[1:]}\n".encode()

        def also(_: PlatformError | None) -> str | None:
            return f"it was asked {len(server.asked)} times" if len(server.asked) > _MOST_ASKED else None

        yield Case(
            fault=f"{server.fault} {beside or server.how if server.fault in {'beside', 'bytes'} else ''} "
            f"{server.part if server.fault == 'part' else ''} {'proven' if proven else ''}",
            source=source,
            accepted=_accepted(server, file, proven=proven),
            truth=_only(file.rows(content)),
            heal=heal,
            private=_plain(content) + _plain(other) + server.mangled,
            secrets=(SECRET, SIGNATURE),
            # A run asks for the present state, which such a file has of all partitions.
            whole_run=not file.shared,
            also=also,
        )


def _only(found: list[list[Row]]) -> list[Row]:
    [rows] = found
    return rows


def _plain(content: bytes) -> bytes:
    try:
        return unpacked(content)
    except RefusedError:
        return content


def _accepted(server: FaultyServer, file: _File, *, proven: bool) -> list[list[Row]]:
    """What counts as complete: of what is proven the bytes that were promised, else what the server calls whole."""
    good = file.rows(server.content)
    if proven:
        text = server.files.get(f"{server.path}.sha256", b"")
        served = [each for each in (server.content, server.other, server.mangled) if _is_named(each, text)]
        return [rows for each in served for rows in file.rows(each)]
    match server.fault:
        case "changed":
            return good + file.rows(server.other)
        case "too short":
            return good + file.rows(server.content[: server.short])
        case "bytes":
            return file.rows(server.mangled)
        case "no length" if not server.content.startswith(b"PK"):
            return []
    return good


def _is_named(content: bytes, text: bytes) -> bool:
    return hashlib.sha256(content).hexdigest().encode() in text.lower()
