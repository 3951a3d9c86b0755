"""Rounds on what was kept: read again it gives the same rows, and damaged it is refused in one clear error.

Put here what happens to a delivery that is kept. Keep out what comes from sources (the module of each kind).
"""

from __future__ import annotations

import io
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import dagster as dg
import pyarrow.parquet as pq

from mlops_assets.platform.assets.raw import KEPT, TAG, of_metadata
from mlops_assets.platform.assets.step import Partition
from mlops_assets.platform.errors import LakeError, SourceError
from mlops_assets.platform.lake import raw
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources.extraction import extracted
from mlops_assets_tests.plumbing.sources import shop
from mlops_assets_tests.plumbing.sources.faults import (
    answers,
    databases,
    downloads,
    files,
    lines,
    packings,
    parquet,
    programs,
    workbooks,
)
from mlops_assets_tests.plumbing.sources.faults.rounds import Bench, Case, WrongError, leak, listened, read, same
from mlops_assets_tests.plumbing.sources.faults.stories import Story

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlops_assets.platform.lake.ledger import Delivery
    from mlops_assets.plumbing.sources.source import Source
    from mlops_assets_tests.plumbing.sources.faults.reference import Row

_SOURCES: Final = (
    files.delimited, files.fixed_width, files.said, lines.json_lines, workbooks.excel, parquet.parquet, packings.packed,
    databases.sqlite, answers.pages, downloads.files, programs.commands,
)  # fmt: skip
_RUNS: Final = 0.15
"""Share of the rounds that publish, and compare hashes of the published content."""


@contextmanager
def kept(chance: random.Random, bench: Bench) -> Iterator[Story]:
    """A good delivery, which is read again, damaged, and delivered again."""
    of = chance.choice(_SOURCES)
    damage = chance.choice(list(_DAMAGES))
    with of(chance, bench) as case:
        case.heal()
        yield Story(fault=f"{of.__name__}, {damage}", played=lambda: _played(case, damage, chance))


def _played(case: Case, damage: str, chance: random.Random) -> str:
    source, key = case.healed or case.source, case.healed_key or case.key
    delivery, rows = _delivered(source, key)
    if not same(rows, case.truth):
        raise WrongError(f"it gives {len(rows)} rows, {len(case.truth)} are true")
    file = raw.kept(Settings.load(), source.contract, delivery.sha256)
    _require_no_secret(file, case)
    tags = {TAG: delivery.sha256}
    again, _, told = read(source, key, tags)
    if again is None or not same(again, rows):
        raise WrongError(f"read again it gives {again if again is None else len(again)} rows: {told}")
    if chance.random() < _RUNS and case.whole_run:
        _require_equal_hashes(source, key)
    # Of nothing at all nothing can be lost.
    _DAMAGES[damage if file.stat().st_size else "gone"](chance, file)
    with listened() as heard:
        found, error, told = read(source, key, tags)
    if found is not None or not isinstance(error, LakeError | SourceError):
        raise WrongError(f"{damage} it gives {found if found is None else len(found)} rows, or another error: {told}")
    if problem := leak(told, heard, case):
        raise WrongError(problem)
    # What is delivered again is there again, even if the same rows come in other bytes.
    delivery, _ = _delivered(source, key)
    again, _, told = read(source, key, {TAG: delivery.sha256})
    if again is None or not same(again, rows):
        raise WrongError(f"{damage} and delivered again it is refused, or gives other rows: {told}")
    return "complete"


def _delivered(source: Source, key: str) -> tuple[Delivery, list[Row]]:
    """What is kept of a good delivery, and its rows."""
    with LakeSession(Settings.load()) as session:
        done = extracted(source, Partition(key, source.contract.partition_values(key)), session, {})
        delivery = of_metadata(done.metadata or {})
        rows = [tuple(each.values()) for each in pq.read_table(done.value, partitioning=None).to_pylist()]
    if delivery is None:
        raise WrongError("nothing of it is kept")
    return delivery, rows


def _require_equal_hashes(source: Source, key: str) -> None:
    """Published, and published again from what was kept, it has the same content."""
    once = source.model_copy(update={"retries": 0, "snapshot": True})
    with dg.DagsterInstance.ephemeral() as instance:
        done = [shop.run(once, key, instance=instance, tags=tags) for tags in (None, {TAG: KEPT})]
    hashes = {str(each.metadata.get("content_hash", each.told)) for each in done}
    if len({each.success for each in done}) > 1 or (done[0].success and len(hashes) > 1):
        raise WrongError(f"published again from what was kept it is another one: {hashes}")


def _require_no_secret(file: Path, case: Case) -> None:
    content = file.read_bytes()
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content += b"".join(archive.read(each) for each in archive.infolist())
    if any(secret.encode() in content for secret in case.secrets):
        raise WrongError("a secret is kept")


def _flipped(chance: random.Random, file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def _cut(chance: random.Random, file: Path) -> None:
    file.write_bytes(file.read_bytes()[: chance.randrange(file.stat().st_size)])


_DAMAGES: Final[dict[str, Callable[[random.Random, Path], object]]] = {
    "with another bit": _flipped,
    "cut": _cut,
    "appended to": lambda chance, file: file.write_bytes(file.read_bytes() + chance.randbytes(3)),
    "empty": lambda _, file: file.write_bytes(b""),
    "gone": lambda _, file: file.unlink(),
    "zeros": lambda _, file: file.write_bytes(bytes(file.stat().st_size)),
}
