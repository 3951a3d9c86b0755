"""Provenance: which environment and which version of this package a number was made with.

Put here what identifies code and environment. Keep out data versions (those are content hashes).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_assets.platform.settings import Settings


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
