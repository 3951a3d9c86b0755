"""The version of code: it changes with what a function does, and with nothing else."""

from __future__ import annotations

import importlib
import itertools
import sys
from typing import TYPE_CHECKING

import pytest

from mlops_assets.platform.assets.code import code_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_SOURCE = '''
import math
from functools import partial
from PACKAGE import helpers

RATES = {"north": 1.5, "south": 2.0}
FIRST, SECOND, THIRD = 1, 1, 2
OPEN = frozenset({"north", "south", "east", "west"})


class Till:
    floor = 2

    def count(self):
        return self.floor + 1


def wrap(function):
    def inner():
        return function()
    inner.__wrapped__ = function
    return inner


def sales(day, till="north"):
    """What was sold."""
    scaled = partial(helpers.scaled, factor=3)
    if till not in OPEN:
        return None
    return [scaled(RATES[till]) for _ in range(Till().count())], math.floor(2.5), FIRST, SECOND, THIRD
'''
_HELPERS = """
def scaled(value, factor):
    return value * base() * factor


def base():
    return 10
"""
_numbers = itertools.count()


@pytest.fixture
def version_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """The version of ``sales`` in a package of its own, after that text of it was replaced by this."""
    monkeypatch.syspath_prepend(str(tmp_path))
    package = f"shop_{next(_numbers)}"

    def found(old: str = "", new: str = "") -> str:
        for module in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[module]
        folder = tmp_path / package
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
        assert old in _SOURCE + _HELPERS
        for name, text in (("sales", _SOURCE), ("helpers", _HELPERS)):
            changed = text.replace(old, new) if old else text
            (folder / f"{name}.py").write_text(changed.replace("PACKAGE", package), encoding="utf-8")
            cached = folder / "__pycache__"
            for file in cached.glob("*") if cached.is_dir() else ():
                file.unlink()
        importlib.invalidate_caches()
        return code_version(importlib.import_module(f"{package}.sales").sales)

    yield found
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[module]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("math.floor(2.5)", "math.ceil(2.5)"),
        ('till="north"', 'till="south"'),
        ('"south": 2.0', '"south": 2.5'),
        ('"west"', '"wast"'),
        ("factor=3", "factor=4"),
        ("return 10", "return 11"),
        ("1, 1, 2", "1, 2, 2"),
        ("floor = 2", "floor = 3"),
        ("self.floor + 1", "self.floor + 2"),
        ("value * base() * factor", "value + base() * factor"),
    ],
)
def test_a_change_of_what_the_code_does_changes_the_version(old: str, new: str, version_of: Callable[..., str]) -> None:
    assert version_of() != version_of(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("What was sold.", "What was sold on a day."),
        ("RATES = {", "# By till.\n\nRATES = {"),
        ("    return [scaled", "\n    return [scaled"),
        ("def wrap(function):", "def unused():\n    return 1\n\n\ndef wrap(function):"),
        ('{"north", "south", "east", "west"}', '{"west", "east", "south", "north"}'),
    ],
)
def test_what_the_code_does_not_do_is_no_part_of_the_version(
    old: str, new: str, version_of: Callable[..., str]
) -> None:
    assert version_of() == version_of(old, new)


def test_the_version_is_that_of_every_process(version_of: Callable[..., str]) -> None:
    assert version_of() == version_of()
