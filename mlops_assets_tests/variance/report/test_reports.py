"""Pages on what changed: opened in a browser without a network, they show events, charts with words, and tables."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from mlops_assets.variance import report
from mlops_assets.variance.linked.ways import PARTS
from mlops_assets.variance.report import charts
from mlops_assets.variance.report.findings import Comparison, Happening, History, Split, Track
from mlops_assets.variance.report.reports import (
    MOST_UNITS,
    comparison_page,
    comparison_thumbnail,
    history_page,
    history_thumbnail,
)
from mlops_assets.variance.report.time_axis import TimeAxis
from mlops_assets.variance.report.words import Words
from mlops_assets_tests.browser import browser_page

WORDS = Words.called(entity="customer", unit="territory", group="region")
REDRAWN = Happening(
    group="North",
    time="2022-03",
    cause="boundary",
    name="redrawn: 3 territories after 2",
    units="03,01",
    evidence="120 of 900 at an unchanged address are in another unit",
    size="120 customers",
    key="9f0011223344",
)
DOUBLED = replace(
    REDRAWN, group="South", time="2022-07", cause="entry", name="loaded twice", probability=0.98, key="a" * 12
)


def _split(unit: str, attribute: str, category: str, before: int | None, **parts: int) -> Split:
    whole: dict[str, float | None] = {part: None if before is None else parts.get(part, 0) for part in PARTS}
    after = None if before is None else before + sum(parts.values())
    return Split(unit=unit, attribute=attribute, category=category, before=before, parts=whole, after=after)


COMPARISON = Comparison(
    title="North, March <2022>",
    before="2022-02",
    after="2022-03",
    splits=[
        _split("01", "all", "all", 5000, boundary=-1200, joiners=9, leavers=-4),
        _split("02", "all", "all", 400, movers=3),
        _split("03", "all", "all", 0, boundary=1200),
        _split("01", "segment", "GREEN", None),
        _split("01", "segment", "TRADE", 300, boundary=-70),
    ],
    happenings=[REDRAWN],
    flows=[("01", "01", 380), ("01", "03", 1200), ("02", "02", 400)],
    words=WORDS,
)
HISTORY = History(
    title="What changed",
    happenings=[DOUBLED, replace(DOUBLED, judgement="rejected", time="2022-08", key="b" * 12), REDRAWN],
    times=["2021", "2022", "2023", "2024"],
    tracks=[
        Track(group="North", unit="01", times=["2021", "2022", "2023"], values=[500.0, 510.0, 380.0], cuts=["2022-03"]),
        Track(group="North", unit="02", times=["2021", "2022", "2023"], values=[400.0, float("nan"), 420.0]),
    ],
    measure="customers",
    words=WORDS,
)


def _opened(page: str, folder: Path) -> dict[str, Any]:
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    with browser_page("--host-resolver-rules=MAP * ~NOTFOUND") as tab:
        tab.open(file.as_uri(), width=1100)
        text = tab.wait_for("Every")
        tab.run("Promise.all([...document.images].map(image => image.decode()))")
        found: dict[str, Any] = tab.run(
            """({
              title: document.title, language: document.documentElement.lang,
              headings: [...document.querySelectorAll('h2')].map(h => h.innerText),
              images: [...document.images].map(i => [i.alt, i.naturalWidth, i.src.slice(0, 19)]),
              cells: [...document.querySelectorAll('td')].map(td => td.innerText),
              wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
              cut: [...document.querySelectorAll('.scroll')].map(box => box.scrollWidth > box.clientWidth),
              loaded: performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length,
              scripts: document.scripts.length})"""
        )
    return {**found, "text": text}


def _texts(svg: str) -> set[str]:
    return {unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)}


def _drawn(page: str) -> list[str]:
    """Each chart of a page, as SVG."""
    return [base64.b64decode(data).decode() for data in re.findall(r"svg\+xml;base64,([^\"]+)", page)]


@pytest.mark.chromium
def test_the_page_of_a_comparison_opens_offline_and_says_everything_in_words_too(tmp_path: Path) -> None:
    page = _opened(comparison_page(COMPARISON), tmp_path)
    assert (page["title"], page["language"], page["scripts"], page["loaded"]) == ("North, March <2022>", "en", 0, 0)
    assert page["headings"] == [
        "What happened",
        "The whole, by cause",
        "Territory by territory",
        "The largest changes of a class",
        "From territory to territory",
        "Every count",
        "What the causes mean",
    ]
    assert "2022-03 compared with 2022-02, customer by customer." in page["text"]
    assert all(width > 100 and source == "data:image/svg+xml;" for _, width, source in page["images"])
    alts = [alt for alt, *_ in page["images"]]
    assert (
        "Waterfall by cause of all territories: 5,400 customers in 2022-02, moved +3, new +9, "
        "gone −4, 5,408 in 2022-03."  # noqa: RUF001
    ) in alts
    assert "1,200 are in another territory, most 1,200 from 01 to 03." in alts[-1]
    assert {"redrawn: 3 territories after 2", "…", "−1,200", "5,000"} <= set(page["cells"])  # noqa: RUF001
    assert "1 count of few customers withheld." in page["text"]
    assert not page["wide"]
    assert not any(page["cut"])


@pytest.mark.chromium
def test_the_page_of_a_history_opens_offline_with_its_timeline_and_cut_series(tmp_path: Path) -> None:
    page = _opened(history_page(HISTORY), tmp_path)
    assert page["headings"] == [
        "Timeline",
        "Series, cut where they are not comparable",
        "Every event",
        "What the causes mean",
    ]
    assert "2021 to 2024: 2 named events: territories redrawn (1), recorded otherwise (1)." in page["text"]
    timeline, series = (alt for alt, *_ in page["images"])
    assert timeline.startswith(
        "Timeline of events by region. North 2022-03: redrawn: 3 territories after 2; South 2022-07"
    )
    assert series == "Customers of 2 territories over time; 1 of 2 are cut."
    assert {"rejected", "98 %", "01, 03"} <= set(page["cells"])
    assert not page["wide"]


@pytest.mark.chromium
def test_a_long_list_of_units_is_shown_on_request(tmp_path: Path) -> None:
    all_of_them = ",".join(f"Territory {number}" for number in range(200))
    page = _opened(history_page(replace(HISTORY, happenings=[replace(REDRAWN, units=all_of_them)])), tmp_path)
    listed = next(cell for cell in page["cells"] if cell.startswith("Territory 0"))
    assert listed.endswith("Territory 5 and 194 more")
    assert not page["wide"]
    assert "Territory 199" in history_page(replace(HISTORY, happenings=[replace(REDRAWN, units=all_of_them)]))


def test_the_words_of_a_page_are_those_of_its_team() -> None:
    pages = comparison_page(COMPARISON) + history_page(HISTORY)
    plain = comparison_page(replace(COMPARISON, words=Words())) + history_page(replace(HISTORY, words=Words()))
    for words in (r"customers?|territor(y|ies)|regions?", r"entit(y|ies)|units?|groups?"):
        assert re.search(rf"\b({words})\b", pages if "custom" in words else plain)
    assert not re.search(r"\b(entit(y|ies))\b", pages)


def test_reports_know_no_domain() -> None:
    domain = re.compile(r"voter|district|\bstates?\b|\bcount(y|ies)\b|election|ballot|\bparty\b", re.IGNORECASE)
    folder = Path(str(report.__file__)).parent
    files = [file for file in folder.iterdir() if file.suffix in {".py", ".jinja"}]
    assert len(files) > 5
    assert [
        f"{file.name}: {found[0]}" for file in files if (found := domain.search(file.read_text(encoding="utf-8")))
    ] == []


def test_equal_input_gives_equal_pages() -> None:
    assert comparison_page(COMPARISON) == comparison_page(COMPARISON)
    assert history_page(HISTORY) == history_page(HISTORY)


def test_nothing_is_loaded_and_nothing_in_the_data_becomes_markup() -> None:
    hostile = replace(
        REDRAWN,
        name="<script>alert(1)</script>",
        evidence='"><img src=x onerror=alert(1)>',
        units="<b>,{{ 7 * 7 }}",
        cause="<i>",
        group="</section>",
    )
    page = history_page(replace(HISTORY, title="<script>", happenings=[hostile], notes=["<script>"]))
    assert "<script" not in page
    assert "<b>" not in page
    assert "<i>" not in page
    assert "{{ 7 * 7 }}" in page
    assert not re.search(r"<img (?!src=\"data:)", page)
    assert "default-src 'none'" in page


def test_dollar_signs_in_the_data_are_no_formulas() -> None:
    costly = replace(REDRAWN, group="$\\frac$", name="fees of $5 became $\\undefined$")
    track = Track(group="$x^$", unit="$y_$", times=["2022", "2023"], values=[1.0, 2.0], cuts=["2023"])
    drawn = _drawn(history_page(replace(HISTORY, happenings=[costly], tracks=[track])))
    assert "fees of $5 became $\\undefined$" in drawn[0]
    assert "$y_$" in drawn[1]
    unit = _split("$\\frac$", "all", "all", 5, movers=1)
    assert history_thumbnail(replace(HISTORY, happenings=[costly]))
    assert comparison_page(replace(COMPARISON, splits=[unit], flows=[("$\\frac$", "$x^$", 5)]))


@pytest.mark.filterwarnings("error")
def test_a_thumbnail_of_many_groups_is_laid_out_as_in_full_size() -> None:
    many = [replace(REDRAWN, group=f"a region of a long name {number}") for number in range(60)]
    assert history_thumbnail(replace(HISTORY, happenings=many)).startswith(b"\x89PNG")


def test_nothing_that_happened_is_said_and_not_drawn() -> None:
    calm = Comparison(title="Calm", before="a", after="b", splits=[], happenings=[])
    assert "Nothing beyond the ordinary" in comparison_page(calm)
    assert "Nothing beyond the ordinary" in history_page(History(title="Calm", happenings=[]))
    assert history_thumbnail(History(title="Calm", happenings=[]))
    assert comparison_thumbnail(calm)


def test_every_cause_is_drawn_with_its_own_marker_and_told_in_words() -> None:
    causes = ("boundary", "renumbering", "units", "entry", "population", "unknown")
    happenings = [replace(REDRAWN, cause=cause, name="") for cause in causes]
    page = history_page(replace(HISTORY, happenings=happenings))
    assert len(set(charts.MARKERS.values())) == len(causes)
    for words in ("territories redrawn", "territories came or went", "cause unknown", "more or fewer customers"):
        assert words in _drawn(page)[0]
        assert words in page
    assert "More than ordinary" not in page
    assert "the evidence does not tell why" in page


@pytest.mark.parametrize("colour", [*charts.COLOURS.values(), charts.INK, charts.FAINT])
def test_every_colour_stands_out_from_white(colour: str) -> None:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    assert 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 3


def test_the_bars_of_a_waterfall_lead_from_zero_to_the_change_and_each_has_its_figure() -> None:
    figure = charts.waterfalls([("01", COMPARISON.splits[0]), ("03", COMPARISON.splits[2])], WORDS)
    axes = figure.axes[0]
    bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches if isinstance(bar, Rectangle)]
    assert bars[0][0] == 0
    assert all(start + width == following for (start, width), (following, _) in pairwise(bars[:-1]))
    assert bars[-1] == (0.0, -1195.0)
    assert min(axes.get_xlim()) < -1200
    assert [text.get_text() for text in axes.texts] == ["−1,200", "+9", "−4", "−1,195"]  # noqa: RUF001
    assert [label.get_text() for label in axes.get_yticklabels()] == ["redrawn", "new", "gone", "change"]
    assert axes.get_title(loc="left") == "01\n5,000 to 3,805"


@pytest.mark.parametrize("groups", [1, 60, 300])
def test_a_timeline_is_readable_with_one_group_and_with_many(groups: int) -> None:
    happenings = [replace(DOUBLED, group=f"Region {number}") for number in range(groups)]
    page = history_page(replace(HISTORY, happenings=happenings))
    timeline = _drawn(page)[0]
    height = float(re.search(r'height="([\d.]+)pt"', timeline)[1])  # type: ignore[index]
    assert 60 < height < 1500
    assert ("120 of 300 regions" in page) == (groups == 300)


def test_units_are_drawn_from_all_groups_where_there_are_too_many() -> None:
    tracks = [
        replace(HISTORY.tracks[0], group=f"Region {group}", unit=f"Shop {unit}")
        for group in range(20)
        for unit in range(30)
    ]
    page = history_page(replace(HISTORY, tracks=tracks))
    assert len({text.split(" Shop")[0] for text in _texts(_drawn(page)[1]) if "Shop" in text}) == 20
    assert f"{MOST_UNITS} of 600 territories" in page


def test_a_line_breaks_where_the_unit_changed_and_where_it_was_not_seen_for_long() -> None:
    times = [f"2024-{month:02d}" for month in (1, 2, 3, 4, 10, 11, 12)]
    track = Track(group="", unit="01", times=times, values=[1.0] * 7, cuts=["2024-03"])
    axes = charts.multiples([("01", track)], TimeAxis.of(times), share=True).axes[0]
    assert [np.size(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "-"] == [2, 2, 3]
    assert axes.yaxis.get_major_formatter()(0.5) in {"50 %", "50.0 %"}


def test_a_unit_is_named_with_its_group_unless_that_is_plain() -> None:
    tracks = [
        replace(HISTORY.tracks[0], group=group, unit=unit)
        for group, unit in (("1", "13"), ("Veneto", "Veneto/Padova"), ("Lazio", "Roma"))
    ]
    drawn = _drawn(history_page(replace(HISTORY, tracks=tracks)))[1]
    assert {"1 13", "Veneto/Padova", "Lazio Roma"} <= _texts(drawn)


def test_flows_are_drawn_of_units_that_gave_or_got() -> None:
    stayed = [(f"Still {number}", f"Still {number}", 100) for number in range(100)]
    page = comparison_page(replace(COMPARISON, flows=[*COMPARISON.flows, *stayed]))
    assert "2 of 103 territories are drawn." in page
    assert _texts(_drawn(page)[-1]) == {"before", "after", "01", "03"}


def test_thumbnails_are_small_pictures() -> None:
    for picture in (history_thumbnail(HISTORY), comparison_thumbnail(COMPARISON)):
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < 25_000
