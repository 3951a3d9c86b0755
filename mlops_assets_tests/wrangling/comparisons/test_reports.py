"""Reports of a comparison: a page on each partition and one on all, in the team's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from mlops_assets.wrangling.comparisons.reports import history_of, size_of
from mlops_assets_tests.wrangling.comparisons.shops import CUSTOMERS, TAKINGS, compared, made, measured
from mlops_assets_tests.wrangling.comparisons.test_events import FIRST, NEXT, redrawn, run, takings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(name="pages")
def _pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where reports are written."""
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path))
    return tmp_path / "reports"


def test_linked_entities_have_a_page_of_each_partition_and_one_of_the_history(pages: Path) -> None:
    kinds = ("changes", "events", "flows")
    keys = ["wrangled/customers", *(f"variance/customers_{kind}" for kind in kinds), "reports/customers"]
    with dg.DagsterInstance.ephemeral() as instance:
        assets = (made(CUSTOMERS, redrawn), compared(title="Who goes to which shop"))
        assert run(instance, assets, keys, FIRST, NEXT).success
        assert run(instance, assets, ["reports/customers_history"], None).success
    page = (pages / f"customers-{NEXT}.html").read_text(encoding="utf-8")
    assert "Who goes to which shop: 2026-02-02" in page
    assert "From shop to shop" in page
    assert "34 customers" in page
    history = (pages / "customers-history.html").read_text(encoding="utf-8")
    assert "shops redrawn" in history
    assert sorted(path.name for path in pages.iterdir()) == [
        "customers-2026-02-01.html",
        "customers-2026-02-02.html",
        "customers-history.html",
    ]


def test_a_panel_has_a_page_of_its_history(pages: Path) -> None:
    keys = ["wrangled/takings", "variance/takings_changes", "variance/takings_events"]
    with dg.DagsterInstance.ephemeral() as instance:
        assets = (made(TAKINGS, takings), measured())
        assert run(instance, assets, keys, *(f"2026-02-{day:02}" for day in range(1, 6))).success
        assert run(instance, assets, ["reports/takings_history"], None).success
    page = (pages / "takings-history.html").read_text(encoding="utf-8")
    assert "r4" in page
    assert "recorded otherwise" in page


def test_series_are_cut_where_the_map_changed_and_nobody_rejected_it() -> None:
    event: dict[str, Any] = {
        "day": NEXT, "region": "r1", "event_id": "0" * 12, "cause": "boundary", "name": "redrawn", "probability": 0.9,
        "units": "s1", "size": 0.2, "size_unit": "log change", "evidence": "", "judgement": "open", "cuts": True,
    }  # fmt: skip
    series = [
        {"group": "r1", "unit": unit, "time": day, "value": 1.0} for unit in ("s1", "s2") for day in (NEXT, FIRST)
    ]
    history = history_of(measured(), [event], series)
    assert [(track.unit, list(track.times), list(track.cuts)) for track in history.tracks] == [
        ("s1", [FIRST, NEXT], [NEXT]),
        ("s2", [FIRST, NEXT], []),
    ]
    rejected = history_of(measured(), [{**event, "judgement": "rejected", "cuts": False}], series)
    assert [list(track.cuts) for track in rejected.tracks] == [[], []]


def test_sizes_are_said_as_people_say_them() -> None:
    sizes = (1200.0, "customers"), (1.0, "customers"), (0.2231, "log change"), (0.5, "share of units")
    told = [size_of(size, unit, compared().words) for size, unit in sizes]
    assert told == ["1,200 customers", "1 customer", "+25 %", "50 % of shops"]
