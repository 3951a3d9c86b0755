"""The file of roles: what it holds, and what is refused before anybody is let in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dagster._core.workspace.load_target import WorkspaceFileTarget

from mlops_assets.deployment.pages.roles import Rights, RolesError, demand_locations, read_roles
from mlops_assets.deployment.pages.server import PagesError, serve
from mlops_assets_tests.deploy.stack import ROLES
from mlops_assets_tests.docker_engine import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = ROOT / "deploy" / "roles.toml"


def test_the_shipped_roles_operate_the_locations_of_the_shipped_workspace() -> None:
    workspace = WorkspaceFileTarget(paths=[str(ROOT / "deploy" / "workspace.yaml")])
    locations = {each.location_name for each in workspace.create_origins()}
    roles = read_roles(SHIPPED)
    demand_locations(roles, locations)
    assert tuple(roles) == ROLES
    assert set().union(*(rights.operates for rights in roles.values())) == locations
    assert [role for role, rights in roles.items() if rights.oversees] == ["architect"]
    assert roles["viewer"] == Rights()


def test_another_team_has_other_roles_over_other_locations(tmp_path: Path) -> None:
    file = tmp_path / "roles.toml"
    file.write_text('[clerk]\noperates = ["billing", "customers"]\n[guest]\n', encoding="utf-8")
    roles = read_roles(file)
    demand_locations(roles, ["billing", "customers"])
    assert roles == {"clerk": Rights(operates=frozenset({"billing", "customers"})), "guest": Rights()}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[plumber]\noperate = []", "plumber.operate: Extra inputs"),
        ('[plumber]\noperates = "plumbing"', "plumber.operates: "),
        ("[Plumber]", "String should match pattern"),
        ('["plumber\\n"]', "String should match pattern"),
        ("[plumber", "Expected ']'"),
        ("plumber = true", "plumber: "),
    ],
)
def test_what_declares_no_roles_is_named(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "roles.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RolesError, match=r"it declares no roles") as told:
        read_roles(file)
    assert problem in str(told.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RolesError, match="it cannot be read"):
        read_roles(tmp_path / "roles.toml")


def test_a_location_that_is_misspelt_is_refused_before_anything_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").touch()
    roles = tmp_path / "roles.toml"
    roles.write_text('[plumber]\noperates = ["plumming"]\n', encoding="utf-8")
    workspace = ROOT / "deploy" / "workspace.yaml"
    with pytest.raises(RolesError, match=r"Role plumber: it operates plumming, .* Did you mean plumbing\?"):
        serve(workspace, roles=roles, listen=tmp_path / "pages.sock")
    assert not (tmp_path / "pages.sock").exists()


def test_a_socket_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").touch()
    (tmp_path / "workspace.yaml").write_text("load_from: []", encoding="utf-8")
    (tmp_path / "roles.toml").write_text("[viewer]", encoding="utf-8")
    with pytest.raises(PagesError, match="it cannot be made"):
        serve(tmp_path / "workspace.yaml", roles=tmp_path / "roles.toml", listen=tmp_path / "missing" / "pages.sock")
