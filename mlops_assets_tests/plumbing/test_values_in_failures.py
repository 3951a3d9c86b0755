"""What a source holds stays there when reading it fails: one delivery of each kind, broken where a value stands.

Put here values that failures must not tell. Keep out what each connector refuses otherwise.
"""

from __future__ import annotations

import logging
import sqlite3
import tempfile
from contextlib import closing
from typing import TYPE_CHECKING, Final

import dagster as dg
import pytest

from mlops_assets.contracts.raw import HOUSE_RETURN_COLUMNS
from mlops_assets.plumbing.assets.district_profiles import district_profiles
from mlops_assets.plumbing.assets.house_returns import house_returns
from mlops_assets.plumbing.assets.voter_file import voter_file
from mlops_assets.plumbing.assets.voting_history import voting_history
from mlops_assets_tests.canary import CANARY, files_with_it, told_in
from mlops_assets_tests.plumbing.loopback import Reply, json_reply
from mlops_assets_tests.plumbing.voter_files import Delivery, text, voters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlops_assets_tests.plumbing.loopback import LoopbackServer

_SOURCES: Final = ("home/landing/", "history.sqlite", "home/errors/", "home/lakes/restricted/")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster").mkdir()
    with dg.instance_for_test(temp_dir=str(tmp_path / "dagster")) as instance:
        yield instance


class Source:
    """The sources of one test, each broken where the canary stands."""

    def __init__(self, folder: Path, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.server = server
        self.monkeypatch = monkeypatch

    def set(self, name: str, value: str) -> None:
        self.monkeypatch.setenv(f"MLOPS_ASSETS_SOURCES__{name}", value)

    def voter_with_a_field_too_many(self) -> tuple[dg.AssetsDefinition, str]:
        lines = text(voters(2, last_name=CANARY))
        Delivery(self.folder / "home" / "landing").drop(lines.rstrip() + f'\t"{CANARY}"\r\n', rows=2)
        return voter_file.asset(), "2022-03|NC"

    def voters_of_another_state(self) -> tuple[dg.AssetsDefinition, str]:
        Delivery(self.folder / "home" / "landing").drop_voters(voters(2, last_name=CANARY, state_cd="GA"))
        return voter_file.asset(), "2022-03|NC"

    def vote_that_is_no_text(self) -> tuple[dg.AssetsDefinition, str]:
        path = self.folder / "history.sqlite"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "CREATE TABLE voting_history (state, ncid, county_id, county_desc, election_lbl, voting_method, "
                "voted_party_cd)"
            )
            connection.execute(
                "INSERT INTO voting_history VALUES ('NC', CAST(? AS TEXT), 1, 'A', '11/08/2022', 'IN-PERSON', 'DEM')",
                [CANARY.encode() + b"\xff"],
            )
        self.set("VOTING_HISTORY", f"sqlite:///{path}")
        return voting_history.asset(), "2022|NC"

    def profile_that_is_cut_off(self) -> tuple[dg.AssetsDefinition, str]:
        return self._profile(Reply(body=f'[["NAME"], ["{CANARY}", '.encode(), content_type="application/json"))

    def profile_of_another_kind(self) -> tuple[dg.AssetsDefinition, str]:
        header = ["NAME", "DP05_0001E", "state", "congressional district"]
        return self._profile(json_reply([header, [{CANARY: CANARY}, [CANARY], "13", "01"]]))

    def _profile(self, reply: Reply) -> tuple[dg.AssetsDefinition, str]:
        profile = "/data/2021/acs/acs1/profile"
        group = {"variables": {"DP05_0001E": {"label": "Estimate!!SEX AND AGE!!Total population"}}}
        self.server.serve(f"{profile}/groups/DP05.json", json_reply(group))
        self.server.serve(profile, reply, reply)
        self.set("PROFILES_URL", self.server.url)
        self.set("PROFILES_KEY", "s3cr3tkey")
        return district_profiles.asset(), "2021"

    def return_with_an_open_quotation(self) -> tuple[dg.AssetsDefinition, str]:
        row = f'2020,IOWA,IA,19,42,31,US HOUSE,001,GEN,,FALSE,"{CANARY}" x,DEM,FALSE,TOTAL,5,9,FALSE,20220331,FALSE'
        body = "\n".join([",".join(HOUSE_RETURN_COLUMNS), row]).encode()
        self.set("HOUSE_RETURNS_URL", self.server.serve("/house.csv", Reply(body=body)))
        return house_returns.asset(), "2020"


_BROKEN: Final = (
    Source.voter_with_a_field_too_many,
    Source.voters_of_another_state,
    Source.vote_that_is_no_text,
    Source.profile_that_is_cut_off,
    Source.profile_of_another_kind,
    Source.return_with_an_open_quotation,
)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("broken", _BROKEN, ids=lambda broken: broken.__name__)
def test_a_source_that_cannot_be_read_leaves_its_values_in_no_event_log_or_temporary_file(
    broken: Callable[[Source], tuple[dg.AssetsDefinition, str]],
    tmp_path: Path,
    server: LoopbackServer,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    caplog.set_level(logging.DEBUG)
    asset, partition_key = broken(Source(tmp_path, server, monkeypatch))

    result = dg.materialize([asset], instance=instance, partition_key=partition_key, raise_on_error=False)

    assert not result.success
    assert [place for place in files_with_it(tmp_path) if not place.startswith(_SOURCES)] == []
    captured = capfd.readouterr()
    assert not told_in(captured.out + captured.err + caplog.text)
