"""How evidence is weighed: labels unit by unit, a group's own evidence beside that of others, what cannot be told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from mlops_assets.variance.panel.boundaries import Redrawn, contradicted, redrawn_of
from mlops_assets.variance.panel.detection import detect
from mlops_assets.variance.panel.evidence import Evidence, evidence_of
from mlops_assets.variance.panel.panels import Columns, Panel, read_panel
from mlops_assets.variance.panel.steps import steps_of
from mlops_assets.variance.panel.turnover import turnover_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

SCHOOLS, YEARS, TOWNS = 10, 6, 24
WAVE = 4


def _towns(seed: int = 1) -> Values:
    """Pupils and teachers of schools: towns by years by schools by measures, ordinary change of 2 %."""
    random = np.random.default_rng(seed)
    size = random.lognormal(8, 0.6, (TOWNS, 1, SCHOOLS, 2))
    return np.rint(size * np.exp(np.cumsum(random.normal(0, 0.02, (TOWNS, YEARS, SCHOOLS, 2)), axis=1)))


def _panel(values: Values) -> Panel:
    town, year, school = np.indices(values.shape[:3])
    names = np.array([f"town{number:02d}" for number in range(TOWNS)], dtype=object)
    there = np.isfinite(values[..., 0]).ravel()
    given = {"group": names[town], "unit": school, "time": year, "pupils": values[..., 0], "teachers": values[..., 1]}
    table = pa.table({name: column.ravel()[there] for name, column in given.items()})
    columns = Columns(unit="unit", group="group", time="time", measures=("pupils", "teachers"))
    return read_panel(duckdb.from_arrow(table), columns)


def _events(values: Values) -> dict[tuple[str, str], dict[str, Any]]:
    rows = detect(_panel(values)).to_pylist()
    return {(row["group"], row["time"]): row for row in rows if row["cause"] != "none"}


def _redrawn(values: Values) -> tuple[Redrawn, Evidence]:
    panel = _panel(values)
    steps = steps_of(panel)
    evidence = evidence_of(panel, steps, np.zeros(len(panel.unit), dtype=np.bool_))
    return redrawn_of(panel, evidence, turnover_of(panel, steps, evidence)), evidence


def _redraw(values: Values, towns: range, year: int = WAVE, share: float = 0.3) -> None:
    moved = share * values[towns, year:]
    values[towns, year:] += np.roll(moved, 1, axis=2) - moved


def test_one_school_that_is_like_none_before_is_named_beside_those_that_got_other_numbers() -> None:
    values = _towns()
    values[5, 3:, :6] = np.roll(values[5, 3:, :6], 1, axis=1)
    values[5, 3:, 8] = (200, 90_000)
    row = _events(values)["town05", "3"]
    assert row["cause"] == "renumbering"
    assert row["units"] == "0,1,2,3,4,5"
    assert "no unit before was like 8" in row["evidence"]
    assert "no unit is like 8 any more" in row["evidence"]


def test_labels_are_found_exchanged_where_a_school_closed_as_well() -> None:
    values = _towns()
    values[5, 3:, :6] = np.roll(values[5, 3:, :6], 1, axis=1)
    values[5, 3:, 9] = np.nan
    row = _events(values)["town05", "3"]
    assert row["cause"] == "renumbering"
    assert "no unit is like 9 any more" in row["evidence"]


def test_a_third_of_the_schools_that_are_like_none_before_is_no_renumbering() -> None:
    values = _towns()
    values[5, 3:, :5] = np.roll(values[5, 3:, :5], 1, axis=1)
    values[5, 3:, 6:] *= np.array([[4.0, 0.3], [0.2, 3.0], [5.0, 0.2], [0.3, 6.0]])
    assert _events(values).get(("town05", "3"), {"cause": ""})["cause"] != "renumbering"


def test_a_towns_own_evidence_stands_beside_what_others_suggest() -> None:
    values = _towns()
    _redraw(values, range(TOWNS - 2))
    _redraw(values, range(TOWNS - 2, TOWNS - 1), share=0.03)
    found, _ = _redrawn(values)
    faint = (TOWNS - 2) * YEARS + WAVE
    assert found.alone[faint] < 0.5 < found.share[faint]
    row = _events(values)["town00", str(WAVE)]
    assert "by its own evidence 100% probable" in row["evidence"]
    assert "of groups seem redrawn at this time" in row["evidence"]


def test_alone_and_among_others_a_lone_redrawing_is_as_probable() -> None:
    values = _towns()
    _redraw(values, range(3, 4))
    found, _ = _redrawn(values)
    assert found.alone[3 * YEARS + WAVE] > 0.95
    assert found.probability[3 * YEARS + WAVE] > 0.95
    assert found.share[3 * YEARS + WAVE] < 0.2


def test_a_wave_does_not_name_a_town_whose_schools_stood_still() -> None:
    values = _towns()
    _redraw(values, range(1, TOWNS))
    values[0, WAVE] = values[0, WAVE - 1]
    found, _ = _redrawn(values)
    assert found.contradicted[WAVE]
    assert found.probability[WAVE] == 0
    assert found.probability.reshape(TOWNS, YEARS)[1:, WAVE].min() > 0.9


def test_four_redrawn_towns_among_fifteen_are_no_wave_that_takes_the_others_along() -> None:
    values = _towns()[:, :, :4]
    values[15:] = np.nan
    _redraw(values, range(4), share=0.5)
    named = {key for key, row in _events(values).items() if row["cause"] == "boundary"}
    assert named == {(f"town{number:02d}", str(WAVE)) for number in range(4)}


def test_a_town_that_is_restless_at_every_other_time_is_not_redrawn_when_it_is_so_again() -> None:
    values = _towns()
    random = np.random.default_rng(5)
    for year in (1, 3, 5):
        values[7, year] = np.rint(values[7, year] * np.exp(random.normal(0, 0.1, (SCHOOLS, 2))))
    calm, _ = _redrawn(_towns())
    found, evidence = _redrawn(values)
    assert evidence.dispersion.reshape(TOWNS, YEARS)[7].max() < 6
    assert found.probability.reshape(TOWNS, YEARS)[7].max() < 0.5
    assert calm.probability.max() < 0.5


def test_half_of_the_schools_without_a_row_at_the_last_time_are_unknown_and_both_causes_are_told() -> None:
    values = _towns()
    values[5, -1, 5:] = np.nan
    row = _events(values)["town05", str(YEARS - 1)]
    assert row["cause"] == "unknown"
    assert row["units"] == "5,6,7,8,9"
    assert "left or were not loaded" in row["evidence"]


def test_the_next_time_tells_who_left() -> None:
    values = _towns()
    values[5, -2:, 5:] = np.nan
    assert {key: row["cause"] for key, row in _events(values).items()} == {("town05", str(YEARS - 2)): "units"}


def test_a_fall_of_a_whole_town_at_the_last_time_is_unknown_and_a_rise_is_population() -> None:
    values = _towns()
    values[5, -1] *= 0.7
    values[6, -1] *= 1.35
    found = _events(values)
    assert found["town05", str(YEARS - 1)]["cause"] == "unknown"
    assert "partly loaded" in found["town05", str(YEARS - 1)]["evidence"]
    assert found["town06", str(YEARS - 1)]["cause"] == "population"


def test_a_town_redrawn_and_grown_as_much_is_unknown() -> None:
    values = _towns()
    _redraw(values, range(5, 6), share=0.4)
    panel = _panel(values)
    spread = evidence_of(panel, steps_of(panel), np.zeros(len(panel.unit), dtype=np.bool_)).spread[5 * YEARS + WAVE]
    values[5, WAVE:] *= np.exp(1.1 * spread)
    row = _events(values)["town05", str(WAVE)]
    assert row["cause"] == "unknown"
    assert "redrawn or grown" in row["evidence"]


def test_one_of_two_measures_that_moved_far_beside_a_peer_that_moved_somewhat_is_unknown() -> None:
    values = np.concatenate([_towns(), _towns(2)], axis=1)[:, :YEARS]
    values[5, 3:, :, 0] *= 1.45
    values[5, 3:, :, 1] *= 0.965
    row = _events(values)["town05", "3"]
    assert row["cause"] == "unknown"
    assert "pupils" in row["evidence"]


def test_a_clear_redrawing_is_not_doubted() -> None:
    values = _towns()
    _redraw(values, range(5, 6))
    assert {key: row["cause"] for key, row in _events(values).items()} == {("town05", str(WAVE)): "boundary"}


def test_a_town_that_moved_less_than_it_ordinarily_does_contradicts_a_new_map() -> None:
    _, evidence = _redrawn(_towns())
    quieter = replace(evidence, dispersion=np.full_like(evidence.dispersion, -2.0))
    few_compared = replace(quieter, against=np.full_like(evidence.against, 3))
    later = np.arange(TOWNS * YEARS) % YEARS > 0
    assert contradicted(quieter)[later].all()
    assert not contradicted(few_compared)[later].any()
    assert not contradicted(evidence)[later & (evidence.dispersion > 0)].any()
