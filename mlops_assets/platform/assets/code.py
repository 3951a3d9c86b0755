"""Code: a version of a function that changes when its code does.

Put here what of a function and of what it names counts. Keep out where code comes from (``provenance``).
"""

from __future__ import annotations

import functools
import hashlib
import types
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.platform.provenance import package_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CONSTANTS: Final = (str, bytes, int, float, complex, bool, type(None), type(...))


def code_version(function: Callable[..., Any]) -> str:
    """A version that changes when the function's code does, or that of what it names from the same package.

    It is a hash of compiled code and of plain constants, so comments, layout and docstrings do not count. It follows
    functions, classes and modules that are named; what is only reached through objects (a method of an argument, an
    entry of a dictionary) or other packages does not count: those are in the environment's version. A new version of
    Python gives other versions.

    Returns:
        16 hexadecimal digits.
    """
    package = package_of(function)
    digest = hashlib.sha256()
    for part in _parts(function, package, set()):
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _parts(value: object, package: str, seen: set[int]) -> Iterator[str]:
    """What the version of a function, class or constant is made of."""
    if _is_constant(value):
        # However often: equal constants are one object, whichever of the names they have.
        yield _constant(value)
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    # What a decorator has wrapped counts beside the wrapper.
    if (wrapped := getattr(value, "__wrapped__", None)) is not None:
        yield from _parts(wrapped, package, seen)
    if isinstance(value, functools.partial):
        yield from map(_constant, (*value.args, *sorted(value.keywords.items())))
        yield from _parts(value.func, package, seen)
    elif isinstance(value, types.FunctionType) and package_of(value) == package:
        yield value.__qualname__
        yield _constant((value.__defaults__, value.__kwdefaults__))
        yield from _code(value.__code__, value.__doc__)
        for named in _named(value):
            yield from _parts(named, package, seen)
    elif isinstance(value, type) and package_of(value) == package:
        yield value.__qualname__
        for name, member in sorted(vars(value).items()):
            own = getattr(member, "__func__", getattr(member, "fget", member))
            if isinstance(own, types.FunctionType) or (not name.startswith("__") and _is_constant(own)):
                yield name
                yield from _parts(own, package, seen)


def _code(code: types.CodeType, docstring: str | None) -> Iterator[str]:
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames, code.co_freevars))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _code(constant, None)
        elif constant != docstring or docstring is None:
            yield _constant(constant)


def _named(function: types.FunctionType) -> Iterator[object]:
    """The globals, attributes of modules and closed-over values that the function names, in the order of the names."""
    names = sorted(_names(function.__code__))
    found = [function.__globals__[name] for name in names if name in function.__globals__]
    modules = [value for value in found if isinstance(value, types.ModuleType)]
    yield from (value for value in found if not isinstance(value, types.ModuleType))
    for module in modules:
        yield from (vars(module)[name] for name in names if name in vars(module))
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue


def _names(code: types.CodeType) -> set[str]:
    nested = (_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*nested)


def _is_constant(value: object) -> bool:
    # A subclass may be anything: Dagster's records are tuples that refuse to be looked through.
    if isinstance(value, tuple | list | frozenset | set):
        return type(value) in {tuple, list, frozenset, set} and all(map(_is_constant, value))
    if isinstance(value, dict):
        return all(_is_constant(each) for pair in value.items() for each in pair)
    return isinstance(value, _CONSTANTS)


def _constant(value: object) -> str:
    """The text of a constant; that of a set does not depend on the order of this process."""
    if isinstance(value, frozenset | set):
        return f"{{{', '.join(sorted(map(_constant, value)))}}}"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_constant, value))})"
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{_constant(key)}: {_constant(each)}' for key, each in value.items()))}}}"
    return repr(value) if isinstance(value, _CONSTANTS) else type(value).__qualname__
