"""Dialects: how files of delimited text are written in the rounds, and read a second time.

Put here what a good file looks like. Keep out what breaks it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets.plumbing.sources.formats.kinds import Delimited
from mlops_assets_tests.plumbing.sources.faults import reference, visits
from mlops_assets_tests.plumbing.sources.faults.reference import RefusedError
from mlops_assets_tests.plumbing.sources.faults.rounds import complete
from mlops_assets_tests.plumbing.sources.faults.visits import NAMES, Texts

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from mlops_assets.plumbing.sources.formats.plain_text import Encoding


def contract(chance: random.Random) -> Any:  # noqa: ANN401  either contract
    """The table, of persons or not."""
    return chance.choice([visits.VISITS, visits.PERSONS])


class Dialect:
    """How a file of delimited text is written, by chance."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.delimiter = chance.choice([",", ",", ";", "\t", "|"])
        self.quote = chance.choice(['"', '"', '"', "'", ""])
        self.encoding: Encoding = chance.choice(["utf-8", "utf-8", "utf-8", "latin-1", "cp1252", "utf-16"])
        self.newline = chance.choice(["\n", "\n", "\r\n"])
        self.headed = chance.random() < 0.8

    def format(self) -> Delimited:
        names = None if self.headed else list(NAMES)
        return Delimited(delimiter=self.delimiter, quote=self.quote, encoding=self.encoding, names=names)

    def rows(self) -> list[Texts]:
        found = visits.rows(self.chance, plain=not self.quote)
        if self.encoding in {"latin-1", "cp1252"}:
            for each in found:
                who = each["who"]
                each["who"] = who and who.encode(self.encoding, "replace").decode(self.encoding)
        return found

    def written(self, names: Sequence[str], given: Sequence[Texts]) -> bytes:
        lines = [[self._field(name) for name in names]] if self.headed else []
        lines += [[self._field(each.get(name)) for name in names] for each in given]
        text = "".join(self.delimiter.join(line) + self.newline for line in lines)
        return text.encode(self.encoding, "replace")

    def _field(self, text: str | None) -> str:
        if text is None:
            return ""
        signs = {self.delimiter, self.quote, "\n", "\r"}
        if self.quote and (not text or signs & {*text} or text.startswith(" ") or self.chance.random() < 0.2):
            return f"{self.quote}{text.replace(self.quote, self.quote * 2)}{self.quote}"
        return text

    def read(self, content: bytes, *, proven: bool = False) -> list[Texts]:
        names = None if self.headed else NAMES
        return reference.delimited(
            content, delimiter=self.delimiter, quote=self.quote, encoding=self.encoding, names=names, proven=proven
        )


def accepted(dialect: Dialect, content: bytes, *, proven: bool = False) -> list[list[reference.Row]]:
    """What counts as complete of that content."""
    try:
        return complete(dialect.read(content, proven=proven))
    except RefusedError:
        return []
