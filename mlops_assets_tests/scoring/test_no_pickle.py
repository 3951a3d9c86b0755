"""Nothing in the package can load what executes code: no pickle, by whatever name."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final

import mlops_assets

if TYPE_CHECKING:
    from collections.abc import Iterator

_MODULES: Final = frozenset(
    {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "skops"}
)
_CALLS: Final = frozenset({"read_pickle", "to_pickle"})


def _names(tree: ast.AST) -> Iterator[str]:
    """What a module imports, calls by these names, or asks NumPy to unpickle."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name.split(".")[0] for name in names if name.name.split(".")[0] in _MODULES)
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in _MODULES:
                yield module
            case ast.Attribute(attr=attribute) if attribute in _CALLS:
                yield attribute
            case ast.Call(func=ast.Name(id="__import__"), args=[ast.Constant(value=str(name))]) if name in _MODULES:
                yield name
            case ast.keyword(arg="allow_pickle", value=ast.Constant(value=True)):
                yield "allow_pickle=True"
            case _:
                pass


def test_no_module_of_the_package_can_unpickle() -> None:
    files = sorted(Path(mlops_assets.__file__).parent.rglob("*.py"))
    assert len(files) > 100
    found = {str(file): sorted(_names(ast.parse(file.read_text(encoding="utf-8")))) for file in files}
    assert {file: names for file, names in found.items() if names} == {}


def test_the_search_finds_what_it_looks_for() -> None:
    for code in (
        "import pickle",
        "from joblib import load",
        "import numpy as np; np.load(f, allow_pickle=True)",
        "pd.read_pickle(f)",
        "__import__('dill')",
    ):
        assert list(_names(ast.parse(code)))
