"""Pages on what changed: opened in a browser without a network, they show events, charts with words, and tables."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.variance.linked.ways import PARTS
from mlops_assets.variance.report.charts import Track
from mlops_assets.variance.report.reports import (
    Comparison,
    Happening,
    History,
    Split,
    comparison_page,
    comparison_thumbnail,
    history_page,
    history_thumbnail,
)
from mlops_assets_tests.browser import browser_page

if TYPE_CHECKING:
    from pathlib import Path

REDRAWN = Happening(
    group="NC",
    time="2022-03",
    position=2022.2,
    cause="boundary",
    name="redrawn: 3 districts after 2",
    units="01,03",
    evidence="120 of 900 at an unchanged address are in another unit",
    size=120,
    unit_of_size="persons",
    key="9f0011223344",
)
DOUBLED = replace(
    REDRAWN, group="GA", time="2022-07", position=2022.5, cause="entry", name="loaded twice", key="a" * 12
)


def _split(unit: str, attribute: str, category: str, before: int | None, **parts: int) -> Split:
    whole: dict[str, int | None] = {part: None if before is None else parts.get(part, 0) for part in PARTS}
    after = None if before is None else before + sum(parts.values())
    return Split(unit=unit, attribute=attribute, category=category, before=before, parts=whole, after=after)


COMPARISON = Comparison(
    title="NC, March <2022>",
    before="2022-02",
    after="2022-03",
    splits=[
        _split("01", "all", "all", 500, boundary=-120, joiners=9, leavers=-4),
        _split("02", "all", "all", 400, movers=3),
        _split("03", "all", "all", 0, boundary=120),
        _split("01", "party", "GREEN", None),
        _split("01", "party", "DEMOCRATIC", 300, boundary=-70),
    ],
    happenings=[REDRAWN],
    flows=[("01", "01", 380), ("01", "03", 120), ("02", "02", 400)],
)
HISTORY = History(
    title="What changed",
    happenings=[REDRAWN, DOUBLED, replace(DOUBLED, judgement="rejected", time="2022-08", key="b" * 12)],
    ticks=[(float(year), str(year)) for year in range(2021, 2025)],
    tracks=[
        Track(name="NC 01", positions=[2021.0, 2022.0, 2023.0], values=[500.0, 510.0, 380.0], cuts=[2022.2]),
        Track(name="NC 02", positions=[2021.0, 2022.0, 2023.0], values=[400.0, float("nan"), 420.0]),
    ],
    measure="Registered voters",
)


def _opened(page: str, folder: Path) -> dict[str, Any]:
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    with browser_page("--host-resolver-rules=MAP * ~NOTFOUND") as tab:
        tab.open(file.as_uri())
        text = tab.wait_for("Every")
        tab.run("Promise.all([...document.images].map(image => image.decode()))")
        found: dict[str, Any] = tab.run(
            """({
              title: document.title, language: document.documentElement.lang,
              headings: [...document.querySelectorAll('h2')].map(h => h.innerText),
              images: [...document.images].map(i => [i.alt, i.naturalWidth, i.src.slice(0, 19)]),
              cells: [...document.querySelectorAll('td')].map(td => td.innerText),
              wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
              loaded: performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length,
              scripts: document.scripts.length})"""
        )
    return {**found, "text": text}


@pytest.mark.chromium
def test_the_page_of_a_comparison_opens_offline_and_says_everything_in_words_too(tmp_path: Path) -> None:
    page = _opened(comparison_page(COMPARISON), tmp_path)
    assert (page["title"], page["language"], page["scripts"], page["loaded"]) == ("NC, March <2022>", "en", 0, 0)
    assert page["headings"] == [
        "What happened",
        "The whole, by cause",
        "Unit by unit",
        "The largest changes of a class",
        "From district to district",
        "Every count",
    ]
    assert all(width > 100 and source == "data:image/svg+xml;" for _, width, source in page["images"])
    alts = [alt for alt, *_ in page["images"]]
    assert "Waterfall of all units: 900 in 2022-02, movers +3, joiners +9, leavers -4, 908 in 2022-03." in alts
    assert "120 are in another unit, most 120 from 01 to 03." in alts[-1]
    assert "redrawn: 3 districts after 2" in page["cells"]
    assert "…" in page["cells"]
    assert "1 counts of few persons are withheld." in page["text"]
    assert not page["wide"]


@pytest.mark.chromium
def test_the_page_of_a_history_opens_offline_with_its_timeline_and_cut_series(tmp_path: Path) -> None:
    page = _opened(history_page(HISTORY), tmp_path)
    assert page["headings"] == ["Timeline", "Series, cut where the map changed", "Every event"]
    assert "2021 to 2024: 2 named events (1 boundary, 1 entry)." in page["text"]
    timeline, series = (alt for alt, *_ in page["images"])
    assert timeline.startswith("Timeline of events by group. NC 2022-03: redrawn: 3 districts after 2; GA 2022-07")
    assert series == "Registered voters of 2 units over time; 1 of 2 are cut by an event."
    assert "rejected" in page["cells"]
    assert not page["wide"]


def test_equal_input_gives_equal_pages() -> None:
    assert comparison_page(COMPARISON) == comparison_page(COMPARISON)
    assert history_page(HISTORY) == history_page(HISTORY)


def test_nothing_is_loaded_and_nothing_in_the_data_becomes_markup() -> None:
    hostile = replace(REDRAWN, name="<script>alert(1)</script>", evidence='"><img src=x onerror=alert(1)>')
    page = history_page(replace(HISTORY, happenings=[hostile]))
    assert "<script" not in page
    assert not re.search(r"<img (?!src=\"data:)", page)
    assert "default-src 'none'" in page


def test_dollar_signs_in_the_data_are_no_formulas() -> None:
    costly = replace(REDRAWN, group="$\\frac$", name="fees of $5 became $\\undefined$")
    track = Track(name="$x^$", positions=[2022.0, 2022.5], values=[1.0, 2.0])
    page = history_page(replace(HISTORY, happenings=[costly], tracks=[track]))
    drawn = [base64.b64decode(data).decode() for data in re.findall(r"svg\+xml;base64,([^\"]+)", page)]
    assert "fees of $5 became $\\undefined$" in drawn[0]
    assert "$x^$" in drawn[1]
    unit = _split("$\\frac$", "all", "all", 5, movers=1)
    assert history_thumbnail(replace(HISTORY, happenings=[costly]))
    assert comparison_page(replace(COMPARISON, splits=[unit], flows=[("$\\frac$", "$x^$", 5)]))


def test_nothing_that_happened_is_said_and_not_drawn() -> None:
    calm = Comparison(title="Calm", before="a", after="b", splits=[], happenings=[])
    assert "Nothing beyond the ordinary" in comparison_page(calm)
    assert "Nothing beyond the ordinary" in history_page(History(title="Calm", happenings=[], ticks=[]))


def test_thumbnails_are_small_pictures() -> None:
    for picture in (history_thumbnail(HISTORY), comparison_thumbnail(COMPARISON)):
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < 25_000
