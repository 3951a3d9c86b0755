"""Provenance: which environment, and code of which package and commit, a number was made with.

Put here where code comes from and what it ran in. Keep out data versions (those are content hashes).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.platform.settings import Settings


COMMIT_VARIABLE: Final = "MLOPS_ASSETS_COMMIT"
"""The commit that an image was built from, where the checkout is not in it; ``+dirty`` after it for a changed tree."""

_GIT_SECONDS: Final = 20.0


class CodeOrigin(BaseModel):
    """Where the code came from that made a table.

    Attributes:
        package: the top-level package of the asset's function.
        version: version of the distribution that it is in; ``None`` if it is in none.
        commit: the git commit of its checkout; ``None`` if it is in none.
        clean: whether nothing was changed there since; ``None`` likewise.
    """

    model_config = ConfigDict(frozen=True)

    package: str
    version: str | None = None
    commit: str | None = None
    clean: bool | None = None


def package_version() -> str:
    """The version of this package."""
    return importlib.metadata.version("mlops-assets")


def environment(settings: Settings) -> str:
    """The digest of the image when the deployment sets one, else a hash of the interpreter and all packages."""
    return settings.environment or _installed()


@functools.cache
def _installed() -> str:
    packages = sorted(
        f"{distribution.metadata['Name'].lower()}=={distribution.version}"
        for distribution in importlib.metadata.distributions()
    )
    text = "\n".join([f"python=={sys.version.split()[0]}", *packages])
    return f"packages-sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def package_of(defined: Callable[..., Any] | type) -> str:
    """The top-level package that a function or class is defined in."""
    return str(getattr(defined, "__module__", "")).partition(".")[0]


@functools.cache
def origin(package: str) -> CodeOrigin:
    """Where the code of a top-level package comes from; looked up once in a process.

    The commit is that of the git checkout that the package lies in, or of ``MLOPS_ASSETS_COMMIT``.
    """
    commit, clean = _commit(package)
    return CodeOrigin(package=package, version=_version(package), commit=commit, clean=clean)


def origin_of(function: Callable[..., Any], model: object) -> CodeOrigin:
    """Where the code comes from that made a table.

    Args:
        function: the asset's.
        model: the contract's. Where the function is this package's own, as a declared source's is, what says what it
            does lies beside the contract.
    """
    package = package_of(function)
    is_ours = package == __name__.partition(".")[0]
    return origin(package_of(model) if is_ours and isinstance(model, type) else package)


def _version(package: str) -> str | None:
    for name in (package, *importlib.metadata.packages_distributions().get(package, ())):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _commit(package: str) -> tuple[str | None, bool | None]:
    if set_ := os.environ.get(COMMIT_VARIABLE):
        return set_.removesuffix("+dirty"), not set_.endswith("+dirty")
    file = getattr(sys.modules.get(package), "__file__", None)
    if file is None:
        return None, None
    folder = Path(file).parent
    # A package that was installed may lie in somebody's checkout all the same: only files that git follows count.
    if _git(folder, "ls-files", "--error-unmatch", Path(file).name) is None:
        return None, None
    commit = _git(folder, "rev-parse", "HEAD")
    # What Python compiled while the code ran is no change, whether or not the checkout ignores it.
    code = (".", ":(exclude)**/__pycache__/**", ":(exclude)__pycache__/**")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=all", "--", *code)
    return commit, None if changed is None else not changed


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers there; ``None`` where there is no git, no checkout or no such file."""
    try:
        done = subprocess.run(  # noqa: S603  the arguments are ours
            ["git", "-C", str(folder), *arguments],  # noqa: S607  whichever git this machine has
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
