"""A role's rights as Dagster's permissions, for everything that is asked by one person at one time.

Put here which permission goes with which right. Keep out which mutation needs which permission (``mutations``).

Dagster asks these two before it changes anything: ``permissions`` of the whole, which hold in every location, and
``permissions_for_location``. Its pages ask them as well: what is not allowed is greyed out, with the reason.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.permissions import LOCATION_SCOPED_PERMISSIONS, PermissionResult, Permissions
from starlette.requests import HTTPConnection

from mlops_assets.deployment.pages.roles import Rights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import DagsterInstance
    from dagster._core.workspace.load_target import WorkspaceLoadTarget

OPERATES: Final = frozenset(
    {
        Permissions.LAUNCH_PIPELINE_EXECUTION,
        Permissions.LAUNCH_PIPELINE_REEXECUTION,
        Permissions.TERMINATE_PIPELINE_EXECUTION,
        Permissions.DELETE_PIPELINE_RUN,
        Permissions.LAUNCH_PARTITION_BACKFILL,
        Permissions.CANCEL_PARTITION_BACKFILL,
        Permissions.START_SCHEDULE,
        Permissions.STOP_RUNNING_SCHEDULE,
        Permissions.SCHEDULE_DRY_RUN,
        Permissions.EDIT_SENSOR,
        Permissions.SENSOR_DRY_RUN,
        Permissions.UPDATE_SENSOR_CURSOR,
        Permissions.WIPE_ASSETS,
        Permissions.REPORT_RUNLESS_ASSET_EVENTS,
        Permissions.EDIT_DYNAMIC_PARTITIONS,
        Permissions.REFRESH_COMPONENT_STATE,
        Permissions.RELOAD_REPOSITORY_LOCATION,
    }
)
"""What is allowed in the locations that a role operates."""

OVERSEES: Final = frozenset(
    {
        Permissions.TERMINATE_PIPELINE_EXECUTION,
        Permissions.CANCEL_PARTITION_BACKFILL,
        Permissions.START_SCHEDULE,
        Permissions.STOP_RUNNING_SCHEDULE,
        Permissions.EDIT_SENSOR,
        Permissions.RELOAD_REPOSITORY_LOCATION,
        Permissions.RELOAD_WORKSPACE,
        Permissions.TOGGLE_AUTO_MATERIALIZE,
        Permissions.EDIT_CONCURRENCY_LIMIT,
    }
)
"""What is allowed everywhere to a role that oversees."""

_ROLE_HEADER: Final = "X-Role"


def role_of(connection: HTTPConnection) -> str | None:
    """The role that the reverse proxy says; ``None`` if it says none, or several."""
    said = connection.headers.getlist(_ROLE_HEADER)
    return said[0] if len(said) == 1 else None


class RoleRequestContext(WorkspaceRequestContext):
    """The workspace as it is during one request, with the permissions of who asks.

    Args:
        process: the process that answers.
        source: the connection; ``None`` where Dagster asks for itself, which may only look.
        role: the person's role.
        rights: what it may do.
    """

    def __init__(self, process: RolesProcessContext, *, source: object | None, role: str, rights: Rights) -> None:
        super().__init__(
            instance=process.instance,
            current_workspace=process.get_current_workspace(),
            process_context=process,
            version=process.version,
            source=source,
            read_only=True,
        )
        self._role = role
        self._rights = rights

    @property
    def permissions(self) -> Mapping[str, PermissionResult]:
        """What the role may do in the whole."""
        return _permissions(
            frozenset(Permissions),
            OVERSEES if self._rights.oversees else frozenset(),
            f"As {self._role} you may not do this for the whole deployment.",
        )

    def permissions_for_location(self, *, location_name: str) -> Mapping[str, PermissionResult]:
        """What the role may do in that code location."""
        return _permissions(
            frozenset(LOCATION_SCOPED_PERMISSIONS),
            (OPERATES if location_name in self._rights.operates else frozenset())
            | (OVERSEES if self._rights.oversees else frozenset()),
            f"As {self._role} you may not do this in {location_name}.",
        )


class RolesProcessContext(WorkspaceProcessContext):
    """The web server's view of instance and workspace, which makes what each request is answered from."""

    def __init__(
        self,
        instance: DagsterInstance,
        workspace_load_target: WorkspaceLoadTarget,
        *,
        version: str,
        roles: Mapping[str, Rights],
    ) -> None:
        self._roles = roles
        super().__init__(instance, workspace_load_target, version=version, read_only=True)

    def create_request_context(self, source: object | None = None) -> RoleRequestContext:
        """What a request is answered from, with the rights of its role; with none where it says no role of ours."""
        role = role_of(source) if isinstance(source, HTTPConnection) else None
        rights = self._roles.get(role, Rights()) if role is not None else Rights()
        return RoleRequestContext(self, source=source, role=role or "nobody", rights=rights)


@cache
def _permissions(
    asked: frozenset[Permissions], granted: frozenset[Permissions], reason: str
) -> Mapping[str, PermissionResult]:
    return {
        each: PermissionResult(enabled=each in granted, disabled_reason=None if each in granted else reason)
        for each in asked
    }
