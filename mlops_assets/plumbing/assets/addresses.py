"""Addresses of the sources, which the operator sets.

Put here how one is found in the settings. Keep out what is asked there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.settings import PREFIX

if TYPE_CHECKING:
    from mlops_assets.platform.settings import Settings


def address_of(settings: Settings, name: str) -> str:
    """The address of a source, without a slash at its end.

    Args:
        settings: the operator's.
        name: of its setting among the ``sources``.

    Raises:
        SettingsError: the operator has not set it.
    """
    value: str | None = getattr(settings.sources, name)
    if not value:
        raise SettingsError(
            source=f"{PREFIX}SOURCES__{name.upper()}",
            culprit="the address of this source is not set.",
            remedy="Set it in the environment or in .env.",
        )
    return value.rstrip("/")
