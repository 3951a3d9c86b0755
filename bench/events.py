"""How well events are named: on real and simulated tables to which things happened, elections, profiles, and series.

Prints tables and, last, one JSON line. Simulated panels have seeds drawn anew at every run. Parts whose public files
are missing are left out, saying so.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
from event_ablations import ablations, foreign_boundaries
from event_baselines import METHODS
from event_calibration import calibration
from event_panels import (
    EDITION,
    HOUSE,
    PROFILE,
    by_cause,
    by_way,
    found,
    happened,
    ours,
    real_tables,
    scores,
    simulated,
    where,
)
from event_series import series
from public_panels import DATA, house, profiles, redistricting

from mlops_assets.variance.panel import detection
from mlops_assets.variance.panel.boundaries import DEFAULT, Ratios
from mlops_assets.variance.panel.evidence import evidence_of
from mlops_assets.variance.panel.panels import Columns, read_panel
from mlops_assets.variance.panel.steps import steps_of
from mlops_assets.variance.panel.verdicts import CAUSES
from mlops_assets_tests.variance.panel.county_world import Happenings
from mlops_assets_tests.variance.panel.panel_world import World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Named = dict[tuple[str, str], str]

TRIALS = 6


def fitted(table: pa.Table, truth: Mapping[tuple[str, str], str]) -> Ratios:
    """The ratios as a part of the elections alone would give them."""
    panel = read_panel(duckdb.from_arrow(table), HOUSE)
    steps = steps_of(panel)
    evidence = evidence_of(panel, steps, np.zeros(len(panel.unit), dtype=np.bool_))
    labels = np.array([truth.get((state, year), "") for state in panel.groups for year in panel.times])
    event, plain = labels == "event", labels == "no-event"
    changed, moved = evidence.appeared + evidence.disappeared > 0, evidence.moved > 0

    def ratio(sign: NDArray[np.bool_]) -> float:
        return float(
            np.log((sign[event].sum() + 0.5) / (event.sum() + 1) * (plain.sum() + 1) / (sign[plain].sum() + 0.5))
        )

    return Ratios(
        set_changed=ratio(changed), set_unchanged=ratio(~changed), first_moved=ratio(moved), none_moved=ratio(~moved)
    )


def elections() -> dict[str, Any]:
    """House returns 1976-2000, with the fixed ratios and with ratios fitted to other decades and other states."""
    table, truth = where(house(), "year <= 2000"), redistricting()
    judged = {key for key, label in truth.items() if label in {"event", "no-event"}}

    def marks(part: pa.Table, ratios: Ratios = DEFAULT) -> list[tuple[bool, bool]]:
        causes = found(part, HOUSE, lambda panel: ours(panel, ratios))
        return [(truth[key] == "event", cause == "boundary") for key, cause in causes.items() if key in judged]

    decades = ("year <= 1988", "year >= 1988")
    halves = ("hash(state) % 2 = 0", "hash(state) % 2 = 1")
    crossed: list[tuple[bool, bool]] = []
    for decade, other_decade in (decades, decades[::-1]):
        for half, other_half in (halves, halves[::-1]):
            ratios = fitted(where(table, f"{other_decade} AND {other_half}"), truth)
            crossed += marks(where(table, f"{decade} AND {half}"), ratios=ratios)
    causes = found(table, HOUSE)
    lone = {key for key in judged if key[1] not in {"1982", "1992"} and key in causes}
    return {
        "fixed": scores(marks(table)),
        "cross_validated": scores(crossed),
        "between_waves": scores([(truth[key] == "event", causes[key] == "boundary") for key in lone]),
        "by_label": {
            label: dict(Counter(causes[key] for key in causes if truth.get(key) == label))
            for label in ("event", "no-event", "technical", "at-large")
        },
        "after_2000": sorted(
            f"{state} {year}"
            for (state, year), cause in found(house(), HOUSE).items()
            if cause == "boundary" and year > "2000" and year not in {"2002", "2012"}
        ),
    }


def censuses() -> dict[str, dict[str, int]]:
    """How many states each cause was named for, from one profile to the next."""
    pairs = (("2008", "2010"), ("2010", "2011"), ("2011", "2012"), ("census 2010", "2010"), ("2010", "2011", "2012"))
    result = {}
    for times in pairs:
        causes = found(profiles(*times), PROFILE)
        for step in range(1, len(times)):
            own = Counter(cause for (_, when), cause in causes.items() if when == str(step))
            result[f"{times[step - 1]} to {times[step]}" + (" of three" if len(times) > 2 else "")] = dict(own)  # noqa: PLR2004
    return result


def editions() -> dict[str, Any]:
    """Two editions of the same elections as two times: of the states that differ, how many are named entry."""
    pairs: list[tuple[bool, bool]] = []
    named: Counter[str] = Counter()
    texts = {name: house(name) for name in ("2018, doubled", "2018", "2020")}
    for before, after in (("2018, doubled", "2018"), ("2018", "2020"), ("2018, doubled", "2020")):
        for year in (1990, 2002, 2010, 2016, 2018):
            parts = [
                duckdb.from_arrow(where(texts[name], f"year = {year}"))
                .project(f"*, {order} AS edition")
                .to_arrow_table()
                for order, name in enumerate((before, after))
            ]
            laid = pa.concat_tables(parts)
            differ = duckdb.sql(
                """SELECT state FROM laid GROUP BY state, district
                   HAVING count(DISTINCT dem) > 1 OR count(DISTINCT rep) > 1 OR count(DISTINCT total) > 1"""
            ).fetchall()
            states = {row[0] for row in differ}
            for (state, _), cause in found(laid, EDITION).items():
                pairs.append((state in states, cause == "entry"))
                named[cause] += state in states
    causes = found(where(texts["2018, doubled"], "year <= 2018"), HOUSE)
    return scores(pairs) | {
        "doubled_2018": {state: causes[state, "2018"] for state in ("CA", "FL")},
        "named": dict(named),
    }


def counties() -> dict[str, Any]:
    """Real tables regrouped, renumbered, miscoded and grown: by table, by cause, and by the share exchanged."""
    total = np.zeros((len(CAUSES), len(CAUSES)), dtype=int)
    kinds: Counter[tuple[str, str]] = Counter()
    result: dict[str, Any] = {}
    curve: dict[str, dict[str, float]] = {}
    for atoms in real_tables():
        own = np.zeros_like(total)
        for wave in (False, True):
            for _ in range(TRIALS):
                matrix, entered = happened(atoms, Happenings(wave=wave), secrets.randbits(32))
                own += matrix
                kinds += entered
        total += own
        result[atoms.name] = by_cause(own)
        for share in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5):
            lone = Happenings(causes=("boundary",), exchanged=share)
            row = sum(
                happened(atoms, lone, secrets.randbits(32))[0][CAUSES.index("boundary")] for _ in range(TRIALS // 2)
            )
            curve.setdefault(atoms.name, {})[f"{share:.0%}"] = round(float(row[1] / max(row.sum(), 1)), 2)
    confusion = {cause: dict(zip(CAUSES, total[at].tolist(), strict=True)) for at, cause in enumerate(CAUSES)}
    return result | {"confusion": confusion, "all": by_cause(total), "ways": by_way(kinds), "power": curve}


def beside() -> dict[str, dict[str, Any]]:
    """Detection and what others would do, on the same panels: macro F1 and false alarms, F1 of redrawn maps.

    On the House any alarm of a method that says that units came, went or moved against each other counts as redrawn.
    """
    worlds = [World(named=False)] * TRIALS + [World(named=False, wave=True)] * TRIALS
    seeds = [secrets.randbits(32) for _ in worlds]
    tables, truth = (real_tables(), redistricting()) if DATA.exists() else ([], {})
    returns = where(house(), "year <= 2000") if truth else None
    result: dict[str, dict[str, Any]] = {}
    for name, method in {"detection": ours, **METHODS}.items():
        own = by_cause(simulated(worlds, seeds, method)[1])
        row = {"simulated": own["macro_f1"], "simulated, false alarms": own["false_alarms"]}
        if returns is not None:
            matrix = sum(
                happened(atoms, Happenings(wave=wave), seed, method)[0]
                for atoms in tables
                for wave, seed in zip((False, True), seeds, strict=False)
            )
            real = by_cause(np.asarray(matrix))
            row |= {"real tables": real["macro_f1"], "real tables, false alarms": real["false_alarms"]}
            maps = {"boundary", "units"} - ({"units"} if method is ours else set())
            causes = found(returns, HOUSE, method)
            judged = [key for key in causes if truth.get(key) in {"event", "no-event"}]
            lone = [key for key in judged if key[1] not in {"1982", "1992"}]
            for title, keys in (("House", judged), ("House between waves", lone)):
                row[title] = scores((truth[key] == "event", causes[key] in maps) for key in keys)["f1"]
        result[name] = row
    return result


def power() -> dict[str, dict[str, float]]:
    """Recall of boundaries by the people of a unit and the share of them that was exchanged."""
    curve: dict[str, dict[str, float]] = {}
    for people in (300, 3_000, 30_000):
        for share in (0.02, 0.05, 0.1, 0.2, 0.3):
            world = World(people=people, redrawn=share, named=False, groups=40, times=8, events=0.2)
            matrix = simulated([world] * 2, [secrets.randbits(32) for _ in range(2)])[1]
            row = matrix[CAUSES.index("boundary")]
            curve.setdefault(str(people), {})[f"{share:.0%}"] = round(float(row[1] / max(row.sum(), 1)), 2)
    return curve


def sizes() -> dict[str, dict[str, float]]:
    """False alarms and seconds on panels without events, by rows."""
    result = {}
    for rows in (1_000, 10_000, 100_000, 1_000_000):
        units = rows // 10
        table = duckdb.sql(
            f"""SELECT unit % {max(units // 200, 5)} AS "group", unit, time,
                  round(exp(8 + hash(unit) % 100 / 50.0 + (random() + random() + random() - 1.5) * 0.06)) AS a,
                  round(exp(9 + hash(unit + 9) % 100 / 50.0 + (random() + random() + random() - 1.5) * 0.1)) AS b
                FROM range({units}) AS units(unit), range(10) AS times(time)"""
        ).to_arrow_table()
        began = time.perf_counter()
        causes = found(table, Columns(unit="unit", group="group", time="time", measures=("a", "b")))
        alarms = float(np.mean([cause != "none" for cause in causes.values()]))
        result[f"{rows:,}"] = {"false_alarms": round(alarms, 4), "seconds": round(time.perf_counter() - began, 1)}
    return result


def shown(title: str, figures: Mapping[str, Any]) -> None:
    """Print one part."""
    print(f"\n{title}")
    for name, value in figures.items():
        print(f"{name:>28}  {value}")


def frozen() -> str:
    """A hash of the code and constants that are judged."""
    code = sorted(Path(detection.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in code)).hexdigest()[:16]


def main() -> None:
    """Measure, print tables and, last, one JSON line."""
    result: dict[str, Any] = {"bench": "events", "judged": frozen()}
    print(f"Detection as of sha256 {result['judged']} (code and constants)")
    seeds = [secrets.randbits(32) for _ in range(3 * TRIALS)]
    worlds = [World(named=True)] * TRIALS + [World(named=False)] * TRIALS + [World(named=False, wave=True)] * TRIALS
    result["simulated"], matrix = simulated(worlds, seeds)
    confusion = {cause: dict(zip(CAUSES, matrix[at].tolist(), strict=True)) for at, cause in enumerate(CAUSES)}
    result["simulated"]["confusion"] = confusion
    result["seeds"] = seeds
    overall = {name: value for name, value in result["simulated"].items() if name not in {"confusion", "ways"}}
    shown("Simulated panels (true cause by named cause)", confusion | {"all": overall} | result["simulated"]["ways"])
    result["power"] = power()
    shown("Boundaries found, by people of a unit and share exchanged", result["power"])
    result["sizes"] = sizes()
    shown("Panels without events, by rows", result["sizes"])
    result["beside"] = beside()
    shown("Detection beside what others would do", result["beside"])
    fresh = [secrets.randbits(32) for _ in range(TRIALS)]
    result["calibration"] = calibration(fresh)
    shown("How often what was said was right", result["calibration"])
    if DATA.exists():
        result["other fields"] = foreign_boundaries()
        shown("Panels of other fields", result["other fields"])
    result["ablations"] = ablations(fresh)
    shown("One piece of evidence left out", result["ablations"])
    if DATA.exists():
        for part in (counties, elections, censuses, editions, series):
            result[part.__name__] = part()
            shown(part.__name__.capitalize(), result[part.__name__])
    else:
        print(f"\nPublic files are not at {DATA}: counties, elections, profiles, editions and series are left out.")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
