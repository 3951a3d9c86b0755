"""Roles: what each may do on the pages, as a file that an operator can read.

Put here what the file of roles holds. Keep out what Dagster calls those rights (``permissions``), and who has which
role (``people``).
"""

from __future__ import annotations

import difflib
import tomllib
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path


class RolesError(PlatformError):
    """The file of roles cannot be used."""


class Rights(BaseModel):
    """What a role may do beside looking.

    Attributes:
        operates: code locations in which it launches, ends and deletes.
        oversees: whether it ends and throttles what runs in any location, and in the whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    operates: frozenset[str] = frozenset()
    oversees: bool = False


# The reverse proxy takes no other names out of a certificate.
_ROLES: Final = TypeAdapter(dict[Annotated[str, StringConstraints(pattern=r"^[a-z]+\z")], Rights])


def read_roles(file: Path) -> dict[str, Rights]:
    """The roles of a TOML file, by name.

    Raises:
        RolesError: the file is missing, or declares no roles.
    """
    try:
        return _ROLES.validate_python(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise RolesError(
            source=f"File of roles {file}",
            culprit=f"it cannot be read ({error.strerror}).",
            remedy="Name it with --roles; deploy/roles.toml is one.",
        ) from error
    except (ValueError, ValidationError) as error:
        problems = (
            "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            if isinstance(error, ValidationError)
            else str(error)
        )
        raise RolesError(
            source=f"File of roles {file}", culprit=f"it declares no roles ({problems}).", remedy="Correct these."
        ) from error


def demand_locations(roles: Mapping[str, Rights], locations: Collection[str]) -> None:
    """Refuse a role that operates a code location which the workspace does not have.

    Raises:
        RolesError: it names the role, the location, and those that there are.
    """
    for role, rights in roles.items():
        for unknown in sorted(rights.operates.difference(locations)):
            near = difflib.get_close_matches(unknown, locations, n=1)
            raise RolesError(
                source=f"Role {role}",
                culprit=f"it operates {unknown}, and the workspace has no such code location.",
                remedy=f"Did you mean {near[0]}?" if near else f"Name one of: {', '.join(sorted(locations))}.",
            )
