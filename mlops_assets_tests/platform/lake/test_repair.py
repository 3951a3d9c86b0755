"""Repair: what is gone is given up and recorded as lost; everything else stays as it was."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake import repair
from mlops_assets.platform.lake import session as lake_session
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import sweep
from mlops_assets.platform.settings import Settings
from mlops_assets_tests import processes
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake import upkeep
from mlops_assets_tests.platform.lake.test_expiry import expire

pytestmark = pytest.mark.usefixtures("on_each_catalog")


def mend_and_die() -> None:
    """Do the repair until its files are replaced, and die."""
    original = repair._replace_files

    def killed(*arguments: object) -> None:
        original(*arguments)  # type: ignore[arg-type]
        signal.raise_signal(signal.SIGKILL)

    vars(repair)[original.__name__] = killed
    mend()


def mend(lake: str = upkeep.CURATED) -> list[repair.TableRepair]:
    """Plan and do the repair of that lake, with an engine that has read no file; returns what was planned."""
    # One that has read a file goes on without it for a while.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lake_session, "_ENGINE", lake_session._Engine())
        return _mend(lake)


def _mend(lake: str) -> list[repair.TableRepair]:
    with LakeSession(Settings.load()) as session:
        contracts = {
            asset.key.to_user_string(): asset for asset in (*upkeep.CONTRACTS.values(), orchard.SORTED_HARVEST)
        }
        planned = repair.plan(session, lake, contracts)
        for table in planned:
            repair.repair(session, table)
        return planned


def three_weeks() -> list[Path]:
    """Publish three weeks; returns their files."""
    for number, week in enumerate(orchard.WEEKS):
        upkeep.week(week, [number + 1])
    return upkeep.current_files()


def break_file(file: Path, how: str) -> None:
    """Remove the file, cut it, or make its middle unreadable without changing its length."""
    if how == "gone":
        file.unlink()
    elif how == "cut":
        upkeep.cut(file)
    else:
        file.write_bytes(b"\xff" * file.stat().st_size)


def test_a_sound_lake_needs_no_repair() -> None:
    three_weeks()
    assert mend() == []


@pytest.mark.parametrize("how", ["gone", "cut", "garbled"])
def test_a_table_with_a_broken_file_can_be_read_again_without_its_partition(how: str) -> None:
    files = three_weeks()
    before = upkeep.published_weeks()
    break_file(files[1], how)
    [planned] = mend()
    assert list(planned.broken) == [files[1]]
    assert planned.lost == ["w2"]
    assert [row[:2] for row in orchard.visible(orchard.YIELDS)] == [("w1", 1), ("w3", 3)]
    assert upkeep.published_weeks() == {key: before[key] for key in ("w1", "w3")}


def test_a_lost_partition_is_named_until_it_is_published_again() -> None:
    three_weeks()[1].unlink()
    mend()
    [fault] = [fault for fault in upkeep.faults(hashes=True) if "Only old versions" not in fault]
    assert fault.startswith("Lake curated, table wrangled/yields, partition w2: its rows were lost")
    upkeep.week("w2", [5])
    assert not [fault for fault in upkeep.faults(hashes=True) if "Only old versions" not in fault]
    assert ("w2", 5, 1.0) in orchard.visible(orchard.YIELDS)


def test_equal_rows_are_published_anew_after_a_loss() -> None:
    three_weeks()[1].unlink()
    lost = upkeep.published_weeks()["w2"]
    mend()
    made = upkeep.week("w2", [2])
    assert made.record.publish_id != lost
    assert len(orchard.visible(orchard.YIELDS)) == 3


def test_lost_contents_cannot_be_read_as_recorded_and_others_can() -> None:
    first, lost = upkeep.week("w1", [1]), upkeep.week("w2", [2])
    upkeep.current_files()[1].unlink()
    mend()
    assert upkeep.as_recorded(first) == [{"week": "w1", "tree": 1, "kilos": 1.0}]
    with pytest.raises(LakeError, match=r"partition w2: .* its file was lost"):
        upkeep.as_recorded(lost)


def test_a_table_without_partitions_is_lost_whole() -> None:
    upkeep.season(1.0)
    upkeep.current_files(orchard.SEASON)[0].unlink()
    [planned] = mend()
    assert planned.lost == [None]
    assert orchard.visible(orchard.SEASON) == []
    upkeep.season(1.0)
    assert orchard.visible(orchard.SEASON) == [(1, 1.0)]


def test_a_partition_of_which_some_rows_are_gone_is_lost_whole() -> None:
    upkeep.week("w1", [1, 2])
    upkeep.week("w2", [3])
    upkeep.execute("INSERT INTO curated.wrangled.yields VALUES ('w1', 4, 1.0)")
    upkeep.current_files()[0].unlink()
    [planned] = mend()
    assert planned.lost == ["w1"]
    assert orchard.visible(orchard.YIELDS) == [("w2", 3, 1.0)]


def test_rows_deleted_past_the_platform_are_not_brought_back() -> None:
    upkeep.week("w1", [1, 2])
    upkeep.week("w2", [3])
    upkeep.execute("DELETE FROM curated.wrangled.yields WHERE tree = 2")
    upkeep.current_files()[1].unlink()
    with pytest.raises(LakeError, match="deleted single rows"):
        mend()


def test_what_is_published_after_the_plan_stops_the_repair() -> None:
    three_weeks()[1].unlink()
    with LakeSession(Settings.load()) as session:
        [planned] = repair.plan(session, upkeep.CURATED, upkeep.CONTRACTS)
        upkeep.week("w1", [9])
        with pytest.raises(LakeError, match="published since the repair was planned"):
            repair.repair(session, planned)
        assert sweep(session, upkeep.CURATED, older_than_seconds=0) == [], "it left nothing behind"
    assert set(upkeep.published_weeks()) == set(orchard.WEEKS)


def test_a_repair_that_is_killed_before_its_commit_changes_nothing() -> None:
    three_weeks()[1].unlink()
    assert processes.ended(mend_and_die) == -signal.SIGKILL
    assert set(upkeep.published_weeks()) == set(orchard.WEEKS)
    with LakeSession(Settings.load()) as session:
        assert len(sweep(session, upkeep.CURATED, older_than_seconds=0)) == 2
    mend()
    assert len(orchard.visible(orchard.YIELDS)) == 2


def test_what_a_repair_kept_outlives_the_versions_before_it() -> None:
    three_weeks()[1].unlink()
    mend()
    expire()
    assert [row[:2] for row in orchard.visible(orchard.YIELDS)] == [("w1", 1), ("w3", 3)]
    [fault] = upkeep.faults(hashes=True)
    assert "partition w2: its rows were lost" in fault


def test_a_lost_file_of_a_quarantine_loses_no_partition() -> None:
    rotten = [{"week": "w1", "tree": 9, "picker": None, "kilos": 2.0}]
    orchard.weigh("w1", [*orchard.good_rows("w1"), *rotten])
    assert orchard.pick("w1", (orchard.sorted_harvest,)).success
    with LakeSession(Settings.load()) as session:
        session.attach("restricted")
        [(file,)] = session.connection.execute(
            "SELECT data_file FROM ducklake_list_files('restricted', 'sorted_harvest_quarantine', schema => 'raw')"
        ).fetchall()
    upkeep.cut(Path(file))
    [planned] = mend("restricted")
    assert (planned.table, planned.lost) == ("sorted_harvest_quarantine", [])
    assert len(orchard.visible(orchard.SORTED_HARVEST)) == 4
    orchard.weigh("w1", orchard.good_rows("w1", trees=2))
    assert orchard.pick("w1", (orchard.sorted_harvest,)).success
