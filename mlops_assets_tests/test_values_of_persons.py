"""What a person's row holds is nowhere but in the restricted lake's rows, over a whole history and on real servers.

Put here what is searched when everything has run. Keep out how a single step or connector fails, which is tested there.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from typing import TYPE_CHECKING, Final

import psycopg2.extensions
import pytest
from typer.testing import CliRunner

from mlops_assets import cli
from mlops_assets.definitions import definitions
from mlops_assets.demo import history
from mlops_assets.demo.snapshots import SNAPSHOT_ASSETS
from mlops_assets.platform.assets.alerts import tell
from mlops_assets.platform.settings import Settings
from mlops_assets.simulation.configuration import SimulationConfig
from mlops_assets.simulation.sources import SourceSystems, generate
from mlops_assets_tests.canary import CANARY, files_with_it, told_in
from mlops_assets_tests.deployment.instances import instance_on
from mlops_assets_tests.plumbing.voter_files import Delivery

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_assets_tests.postgres import PostgresDatabase, PostgresServer

_MONTHS: Final = ("2021-07", "2021-08")
_BROKEN: Final = "2021-09"
_NAMES: Final = ("last_name", "first_name", "middle_name", "res_street_address", "mail_addr1", "full_phone_number")
_ROWS: Final = "home/lakes/restricted/data/"
_SOURCES: Final = ("home/landing/", "home/errors/")


def dropped(systems: SourceSystems, landing: Path, month: str, *, broken: bool = False) -> str:
    """Deliver a month in which one voter's every text is the canary, if broken with a field too many; his number."""
    systems.drop("NC", month, landing)
    delivery = Delivery(landing, month=month)
    with zipfile.ZipFile(delivery.file) as archive:
        (member,) = archive.namelist()
        content = archive.read(member).decode("latin-1")
    header, *rows = list(csv.reader(io.StringIO(content), delimiter="\t"))
    row = min((row for row in rows), key=lambda row: row[header.index("ncid")])
    for name in _NAMES:
        row[header.index(name)] = CANARY
    if broken:
        row.append(CANARY)
    lines = "".join("\t".join(f'"{field}"' for field in line) + "\r\n" for line in (header, *rows))
    delivery.drop(lines, rows=len(rows), member=member)
    return row[header.index("ncid")]


def dumped(database: PostgresDatabase) -> str:
    """Everything that a database holds, as a backup would."""
    program = shutil.which("pg_dump")
    assert program is not None
    parts = psycopg2.extensions.parse_dsn(database.dsn)
    command = [program, "--host", parts["host"], "--port", parts["port"], "--username", parts["user"], "--inserts"]
    done = subprocess.run(
        [*command, parts["dbname"]],
        env={**os.environ, "PGPASSWORD": database.password},
        capture_output=True,
        check=True,
    )
    return done.stdout.decode("utf-8", errors="replace")


def told_anywhere(databases: Sequence[PostgresDatabase], folder: Path) -> set[str]:
    """Where the canary is: databases by number, files by path."""
    told = {f"database {number}" for number, database in enumerate(databases) if told_in(dumped(database))}
    return told | files_with_it(folder)


@pytest.mark.postgres
def test_a_name_is_in_no_database_event_report_log_or_file_but_the_restricted_rows_and_nowhere_once_forgotten(
    postgres_server: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    databases = [postgres_server.create_database() for _ in range(3)]
    for folder in ("home", "dagster", "temporary"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setenv("MLOPS_ASSETS_PSEUDONYM_KEY", "a key of pseudonyms that is long enough")
    for lake, database in zip(("RESTRICTED", "CURATED"), databases, strict=False):
        monkeypatch.setenv(f"MLOPS_ASSETS_LAKES__{lake}__CATALOG", database.dsn)
        monkeypatch.setenv(f"MLOPS_ASSETS_LAKES__{lake}__PASSWORD", database.password)
    landing = Settings.load().landing
    systems = generate(SimulationConfig(voters_per_state=2000), tmp_path / "sources")
    (number,) = {dropped(systems, landing, month) for month in _MONTHS}
    dropped(systems, landing, _BROKEN, broken=True)
    of_month = [*SNAPSHOT_ASSETS, "variance/voter_flows", "reports/voter"]

    with instance_on(databases[2], tmp_path / "dagster") as instance:
        history.load(
            [history.Batch("months", of_month, [f"{month}|NC" for month in _MONTHS])], instance, lambda *_: None
        )
        with pytest.raises(history.LoadError) as refused:
            history.load(
                [history.Batch("a broken month", SNAPSHOT_ASSETS, [f"{_BROKEN}|NC"])], instance, lambda *_: None
            )
        owners = {spec.key: tuple(spec.owners) for spec in definitions().resolve_all_asset_specs()}
        assert tell(instance, "alerts", owners, Settings.load(), now=time.time()) == 1

    places = told_anywhere(databases, tmp_path)
    captured = capfd.readouterr()
    assert not told_in(f"{refused.value}{captured.out}{captured.err}{caplog.text}")
    assert {place for place in places if not place.startswith((_ROWS, *_SOURCES))} == set()
    assert len([place for place in places if place.startswith(_ROWS)]) == len(_MONTHS)
    assert list((tmp_path / "home" / "reports").glob("*.html"))

    forgotten = CliRunner().invoke(
        cli._app, ["lake", "forget", "--keys-file", "-", "--yes"], input=f"voter=NC:{number}\n"
    )
    assert forgotten.exit_code == 0, forgotten.output
    assert not told_in(forgotten.output)
    assert told_anywhere(databases, tmp_path) == set()
