# ruff: noqa: INP001  a program of the image build, never imported
"""Slim a virtual environment at image build: keep what one target needs, compile what it imports.

Put here what is safe to leave out of an image, with the reason. Keep out the choice of packages: it stands in the
Dockerfile.
"""

from __future__ import annotations

import argparse
import importlib
import os
import py_compile
import re
import shutil
import struct
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import Final

_SITE: Final = Path(sysconfig.get_path("purelib"))

_TEST_FOLDERS: Final = frozenset({"tests"})
_SOURCES: Final = frozenset({".pyx", ".pxd", ".pxi", ".pyi", ".c", ".cc", ".cpp", ".h", ".hpp", ".hh", ".a", ".cmake"})

_UNUSED: Final = (
    # Remote procedure calls of Arrow and its cloud file systems: DuckDB reads and writes the lakes, and pyarrow treats
    # each of these as an optional part (its plan format is none: every module is linked to it).
    "pyarrow/*flight*",
    "pyarrow/*s3*",
    "pyarrow/*gcsfs*",
    "pyarrow/include",
    # The same library three times: the loader asks for the name with the major version.
    "pyarrow/libarrow_python.so",
    "pyarrow/libarrow_python.so.*.*.*",
    # The C library for programs that are not Python; the module carries its own.
    "onnxruntime/capi/libonnxruntime.so*",
    "onnxruntime/transformers",
    "onnxruntime/tools",
    "onnxruntime/quantization",
    "onnx/backend/test",
    # Source maps help developers of Dagster's pages only.
    "dagster_webserver/webapp/build/**/*.map",
)


def main() -> None:
    """Slim the environment of the running interpreter, once for all targets (without arguments) or for one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", nargs="+", help="distributions to keep, with all they require")
    parser.add_argument("--compile", nargs="+", default=[], help="modules to import and compile, with all they import")
    arguments = parser.parse_args()
    if arguments.keep is None:
        _remove_unused()
        _strip_symbols()
    else:
        _remove_distributions(_closure(arguments.keep))
        _compile_imported(arguments.compile)
    _set_times()
    sys.stdout.write(f"{_size(_SITE) / 1e6:.0f} MB in {_SITE}\n")


def _closure(roots: list[str]) -> set[str]:
    """The names of these distributions and of everything that they require on this machine."""
    from packaging.requirements import Requirement  # noqa: PLC0415  removed by this program where nothing needs it

    waiting = [Requirement(root) for root in roots]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *requirement.extras):
            name = _normal(requirement.name)
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in metadata.requires(name) or []:
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append(needed)
    return {name for name, _ in seen}


def _remove_distributions(kept: set[str]) -> None:
    for distribution in list(metadata.distributions(path=[str(_SITE)])):
        if _normal(distribution.metadata["Name"]) in kept:
            continue
        for file in distribution.files or []:
            Path(str(distribution.locate_file(file))).unlink(missing_ok=True)
    for folder, _, _ in os.walk(_SITE, topdown=False):
        if not os.listdir(folder):  # noqa: PTH208  no objects for 20,000 names
            Path(folder).rmdir()


def _remove_unused() -> None:
    for pattern in _UNUSED:
        for path in list(_SITE.glob(pattern)):
            _remove(path)
    # The loader's name was a link to the file removed above in some versions.
    for path in sorted(_SITE.rglob("*"), reverse=True):
        if path.is_symlink():
            continue
        if path.is_dir() and (path.name in _TEST_FOLDERS or path.name == "__pycache__"):
            shutil.rmtree(path)
        elif path.suffix in _SOURCES:
            path.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _strip_symbols() -> None:
    """Cut the symbols off every shared library; what DuckDB loads has another name, is signed and stays whole."""
    for path in sorted(_SITE.rglob("*.so*")):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(_without_symbols(path.read_bytes()))


def _without_symbols(library: bytes) -> bytes:
    """The library up to the end of its last segment; behind it are symbols and notes for debuggers.

    The loader reads segments only. Cutting needs no tool in the image, and leaves whatever lies before as it was. What
    is no ELF file of 64 bits, little end first, stays as it is.
    """
    if library[:6] != b"\x7fELF\x02\x01":
        return library
    table, size, count = (*struct.unpack_from("<Q", library, 32), *struct.unpack_from("<HH", library, 54))
    end = table + size * count
    for place in range(table, end, size):
        offset, length = struct.unpack_from("<8xQ16xQ", library, place)
        end = max(end, offset + length)
    header = bytearray(library[:64])
    # No table of sections any more: neither its place, nor their number, nor where their names are.
    struct.pack_into("<Q", header, 40, 0)
    struct.pack_into("<HH", header, 60, 0, 0)
    return bytes(header) + library[64:end]


def _compile_imported(modules: list[str]) -> None:
    """Compile these modules and what they import, in an order and a form that two builds share.

    Modules that nobody imports at start stay uncompiled: all of them would add a fifth to the image.
    """
    for name in modules:
        importlib.import_module(name)
    files = {file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None)) is not None}
    for file in sorted(files):
        # Some modules were loaded before their files were removed above.
        if file.endswith(".py") and Path(file).is_relative_to(_SITE) and Path(file).exists():
            # Checked by hash and never again: no timestamp gets into the file, and a read-only image cannot change.
            py_compile.compile(file, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def _set_times() -> None:
    """Give every file the commit's time: layers of equal content then have equal digests."""
    moment = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    root = Path(sys.prefix)
    for path in [root, *root.rglob("*")]:
        # A file of an earlier layer that is touched is in this one whole.
        if path.lstat().st_mtime != moment:
            os.utime(path, (moment, moment), follow_symlinks=False)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
