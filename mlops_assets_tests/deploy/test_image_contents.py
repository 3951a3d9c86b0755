"""What an image keeps, compared with what its programs import; without an engine, unlike ``test_images``.

Put here what the Dockerfile alone shows. Keep out images that are built.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from mlops_assets_tests.docker_engine import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_OWN: Final = "mlops_assets"
_SERVICE: Final = (
    "mlops_assets.serving.server",
    "mlops_assets.serving.identity.credentials",
    "mlops_assets.deployment.loopback",
)
_LATE: Final = ("mlops_assets.serving", "mlops_assets.scoring")
"""Packages whose imports inside functions a request or an export can reach."""
_OPTIONAL: Final = frozenset({"opentelemetry"})
"""An extra; without it the setting that needs it is refused at start."""


def test_the_service_image_keeps_all_that_the_service_imports() -> None:
    kept = slim()._closure(kept_by("service-dependencies"))
    distributions = metadata.packages_distributions()
    lacking = {
        module
        for module in imported_by(_SERVICE) - _OPTIONAL
        if not kept & {re.sub(r"[-_.]+", "-", name).lower() for name in distributions[module]}
    }
    assert lacking == set()


def test_a_library_without_its_symbols_is_smaller_and_works(tmp_path: Path) -> None:
    specification = importlib.util.find_spec("yaml")
    assert specification is not None
    package = Path(str(specification.origin)).parent
    shutil.copytree(package, tmp_path / "yaml")
    (library,) = (tmp_path / "yaml").glob("_yaml*.so")
    whole = library.read_bytes()
    library.write_bytes(slim()._without_symbols(whole))
    assert library.stat().st_size < len(whole)
    program = "import sys; sys.path.insert(0, sys.argv[1]); import yaml; print(yaml.load('{a: 1}', yaml.CSafeLoader))"
    used = subprocess.run(
        [sys.executable, "-I", "-c", f"{program}; print(yaml._yaml.__file__)", str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert used.stdout.splitlines() == ["{'a': 1}", str(library)]


@pytest.mark.parametrize("other", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(90)])
def test_what_is_no_library_of_64_bits_stays_as_it_is(other: bytes) -> None:
    assert slim()._without_symbols(other) == other


def slim() -> ModuleType:
    """The program of the image build that decides what stays."""
    specification = importlib.util.spec_from_file_location("slim", ROOT / "deploy" / "image" / "slim.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def kept_by(stage: str) -> list[str]:
    """The distributions that a stage of the Dockerfile names."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    words = shlex.split(text.split(f"AS {stage}\n")[1].split("\n\n")[0].replace("\\\n", " "))
    return words[words.index("--keep") + 1 : words.index("--compile")]


def imported_by(roots: tuple[str, ...]) -> set[str]:
    """The packages of others that these modules import, and those of ours that they import in turn."""
    waiting, seen, others = list(roots), set(roots), set[str]()
    while waiting:
        for name in imports_of(waiting.pop()):
            package = name.partition(".")[0]
            if package != _OWN:
                others.add(package)
            elif name not in seen:
                seen.add(name)
                waiting.append(name)
    return others - sys.stdlib_module_names


def imports_of(module: str) -> Iterator[str]:
    """The modules that one imports when it runs."""
    specification = importlib.util.find_spec(module)
    assert specification is not None
    assert specification.origin is not None
    tree = ast.parse(Path(specification.origin).read_text(encoding="utf-8"))
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = node.module.startswith(_OWN) and (ROOT / f"{inner.replace('.', '/')}.py").exists()
                yield inner if is_module else node.module
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        elif isinstance(node, ast.ClassDef | ast.If | ast.Try) or module.startswith(_LATE):
            waiting += ast.iter_child_nodes(node)
