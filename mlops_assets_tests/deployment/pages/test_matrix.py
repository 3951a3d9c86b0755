"""Each mutation asked by each role about each code location: done for those whose it is, refused to all others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from dagster_graphql.schema import create_schema

from mlops_assets_tests.deploy.stack import ROLES
from mlops_assets_tests.deployment.pages.asking import LOCATIONS, served_pages
from mlops_assets_tests.deployment.pages.changes import CHANGES, Change

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.deployment.pages.asking import Served

OPERATED: Final = {"plumber": "plumbing", "wrangler": "wrangling", "modeler": "modeling"}
SHUTDOWN: Final = "shutdownRepositoryLocation"
REFUSALS: Final = ("You may not", "UnauthorizedError", "You do not have permission", "Give the id of")


def _allowed(change: Change, role: str, location: str) -> bool:
    operates = change.operates and OPERATED.get(role) == location
    return change.looks or operates or (change.oversees and role == "architect")


def _refused(answer: dict[str, Any]) -> bool:
    return any(each in json.dumps(answer) for each in REFUSALS)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("mutation", [each for each in CHANGES if each != SHUTDOWN])
def test_a_role_changes_what_is_its_own_and_nothing_else(served: Served, mutation: str, role: str) -> None:
    _ask_about_each_location(served, mutation, role)


def test_a_code_server_is_shut_down_by_whose_location_it_is(tmp_path: Path) -> None:
    # It does not come back here, so that this server is for nothing else.
    with served_pages(tmp_path) as served:
        for role in ("viewer", *OPERATED, "architect"):
            _ask_about_each_location(served, SHUTDOWN, role)


def _ask_about_each_location(served: Served, mutation: str, role: str) -> None:
    change, person = CHANGES[mutation], served.person(role)
    document = change.document(mutation)
    for location in LOCATIONS:
        answer = person.ask(document, **change.given(served, location))
        assert _refused(answer) is not _allowed(change, role, location), (location, answer)
        if _allowed(change, role, location) and change.done is not None:
            assert change.done in json.dumps(answer), (location, answer)


def test_every_mutation_of_the_schema_is_asked() -> None:
    schema = create_schema().graphql_schema
    assert set(CHANGES) == set(schema.mutation_type.fields)
