"""What the pages lean on in Dagster, and its two gaps that they close: whichever of these ends tells it here.

Dagster's own web server answers here, over the same permissions.
"""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from dagster._core.scheduler.instigation import InstigatorStatus
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._core.workspace.permissions import LOCATION_SCOPED_PERMISSIONS, Permissions
from dagster_graphql.schema import create_schema
from dagster_webserver.webserver import DagsterWebserver
from graphql import GraphQLError
from graphql.pyutils import Path
from starlette.routing import Mount, Route, WebSocketRoute

from mlops_assets.deployment.pages.mutations import PERMISSIONS, guarded
from mlops_assets.deployment.pages.permissions import OPERATES, OVERSEES, RolesProcessContext
from mlops_assets.deployment.pages.roles import read_roles
from mlops_assets.deployment.pages.server import CLOSED
from mlops_assets_tests.deployment.pages import changes
from mlops_assets_tests.deployment.pages.changes import LAUNCH, materialization

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets_tests.deployment.pages.asking import Served

ROUTES = {
    "/server_info": "looks",
    "/dagit_info": "looks",
    "/graphql": "by permission",
    "/logs/{path:path}": "looks",
    "/notebook": "closed",
    "/dagit/notebook": "closed",
    "/download_debug/{run_id:str}": "looks",
    "/report_asset_materialization/{asset_key:path}": "by permission",
    "/report_asset_check/{asset_key:path}": "by permission",
    "/report_asset_observation/{asset_key:path}": "by permission",
    "/{path:path}": "looks",
    "/": "looks",
}
"""What is decided about each route that is no file of the pages themselves."""


@pytest.fixture(name="own", scope="module")
def _own(served: Served) -> Iterator[DagsterWebserver[Any, Any]]:
    folder = served.socket.parent
    target = WorkspaceFileTarget(paths=[str(folder / "workspace.yaml")])
    roles = read_roles(folder / "roles.toml")
    with RolesProcessContext(served.instance, target, version="test", roles=roles) as process:
        yield DagsterWebserver(process)


def _ask(own: DagsterWebserver[Any, Any], document: str, **variables: object) -> Any:  # noqa: ANN401  the answer's JSON
    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(own.create_asgi_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://pages", timeout=120) as client:
            body = {"query": document, "variables": variables}
            return await client.post("/graphql", json=body, headers={"X-Role": "plumber"})

    return asyncio.run(answer()).json()


def test_every_mutation_is_decided_on() -> None:
    assert set(PERMISSIONS) == set(create_schema().graphql_schema.mutation_type.fields)


def test_a_mutation_that_is_not_decided_on_is_refused() -> None:
    resolve = guarded("brandNew", lambda *_: "done")
    with pytest.raises(GraphQLError, match="Nobody may brandNew"):
        resolve(None, SimpleNamespace(context=None, field_nodes=[], path=Path(None, "brandNew", None)))


def test_every_permission_is_decided_on() -> None:
    nobody = {Permissions.EDIT_APP_MANAGED_COMPONENTS}
    assert OPERATES | OVERSEES | nobody == set(Permissions)
    assert LOCATION_SCOPED_PERMISSIONS >= OPERATES


def test_every_route_is_decided_on(own: DagsterWebserver[Any, Any]) -> None:
    files = own.build_static_routes()  # type: ignore[no-untyped-call]
    routes = own.build_routes()  # type: ignore[no-untyped-call]
    assert all(isinstance(each, (Route, WebSocketRoute, Mount)) for each in routes)
    assert {each.path for each in routes} - {each.path for each in files} == set(ROUTES)
    assert {path for path, decided in ROUTES.items() if decided == "closed"} == CLOSED


def test_nothing_but_mutations_changes_and_they_are_fields_of_one_root(own: DagsterWebserver[Any, Any]) -> None:
    schema = own.build_graphql_schema().graphql_schema
    assert set(schema.subscription_type.fields) == {"pipelineRunLogs", "capturedLogs", "locationStateChangeEvents"}
    assert all(field.resolve is not None for field in schema.mutation_type.fields.values())
    # Guarding one server's schema leaves another's as it is.
    assert own.build_graphql_schema().graphql_schema.mutation_type is not schema.mutation_type


def test_dagster_stops_what_the_second_half_of_an_id_names(served: Served, own: DagsterWebserver[Any, Any]) -> None:
    start = changes.CHANGES["startSensor"]
    served.everything.ask(start.document("startSensor"), **start.given(served, "modeling"))
    ones, others = changes.sensor_id(served, "plumbing"), changes.sensor_id(served, "modeling")
    document = "mutation($i: String!) { stopSensor(id: $i) { __typename } }"
    _ask(own, document, i=f"{ones.split('::')[0]}::{others.split('::')[1]}")
    [state] = [each for each in served.instance.all_instigator_state() if each.instigator_name == "modeling_sensor"]
    assert state.status == InstigatorStatus.STOPPED


def test_dagster_starts_a_run_of_ones_own_asset_in_anothers_location(own: DagsterWebserver[Any, Any]) -> None:
    parameters = materialization("modeling", ["plumbing", "plain"])
    assert "LaunchRunSuccess" in json.dumps(_ask(own, LAUNCH % "", p=parameters))
