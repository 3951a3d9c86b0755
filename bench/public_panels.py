"""Panels from public files: House returns of several editions, census profiles, annotated series.

Put here how those files become panels. Keep out what is measured on them.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from mlops_assets.variance.panel.changepoints import Series
from mlops_assets.variance.panel.panels import Columns

DATA = Path(os.environ.get("MLOPS_ASSETS_TEST_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data")))

EDITIONS = {
    "2018, doubled": "1976-2018-house.csv.gz",
    "2018": "1976-2018-house_edition-notzane.csv.gz",
    "2020": "1976-2020-house.csv.gz",
}

PROFILES = {
    "census 2010": ("DEC_10_SF1_SF1DP1", "HD01"),
    "2008": ("ACS_08_1YR_DP5", "HC01"),
    "2010": ("ACS_10_1YR_DP05", "HC01"),
    "2011": ("ACS_11_1YR_DP05", "HC01"),
    "2012": ("ACS_12_1YR_DP05", "HC01"),
}

MEASURES = {
    "population": r"Total population$",
    "under_5": r"Under 5 years$",
    "age_5_9": r"5 to 9 years$",
    "age_20_24": r"20 to 24 years$",
    "over_65": r"65 years and over$",
    "white": r"One [Rr]ace - White$",
    "black": r"One [Rr]ace - Black or African American$",
    "asian": r"One [Rr]ace - Asian$",
    "hispanic": r"Hispanic or Latino \(of any race\)$",
    "other_race": r"One [Rr]ace - Some [Oo]ther [Rr]ace$",
}

FOREIGN = (
    ("EmplUK_plm", "firm", "sector", "year", "emp,wage,capital,output"),
    ("Males_plm", "nr", "residence", "year", "wage,exper,school"),
    ("Produc_plm", "state", "region", "year", "pcap,hwy,water,util,pc,gsp,emp,unemp"),
    ("RiceFarms_plm", "id", "region", "season", "size,seed,urea,totlabor,goutput"),
    ("gapminder_dslabs", "country", "region", "year", "infant_mortality,life_expectancy,fertility,population,gdp"),
    ("us_contagious_diseases_dslabs", "state", "disease", "year", "weeks_reporting,count,population"),
    ("italy", "unit", "g", "day", "totale_casi"),
)

_NO_CANDIDATE = ("NAN", "OTHER", "WRITEIN", "BLANK VOTE/SCATTERING", "BLANK VOTE", "SCATTERING", "NA")


def house(edition: str = "2020") -> pa.Table:
    """House returns: one row per ``state``, ``district`` and ``year`` with ``dem``, ``rep``, ``total``, ``share``,
    ``winner``; general elections without special ones.
    """  # noqa: D205  the columns are the summary
    returns = pc.read_csv(DATA / "medsl-house" / EDITIONS[edition], pc.ReadOptions(encoding="latin-1"))
    returns = returns.set_column(0, "year", returns["year"].cast("int64"))
    return duckdb.sql(
        f"""
        WITH lines AS (
          SELECT state_po AS state, CAST(district AS INTEGER) AS district, CAST(year AS INTEGER) AS year,
            upper(trim(candidate)) AS candidate, upper(party) AS party,
            TRY_CAST(candidatevotes AS DOUBLE) AS votes, TRY_CAST(totalvotes AS DOUBLE) AS totalvotes
          FROM returns
          WHERE upper(stage) = 'GEN' AND upper(coalesce(CAST(special AS VARCHAR), '')) <> 'TRUE'),
        candidates AS (
          SELECT state, district, year, candidate, sum(votes) AS votes FROM lines
          WHERE candidate NOT IN {_NO_CANDIDATE} GROUP BY ALL),
        winners AS (
          SELECT state, district, year, max_by(candidate, votes) AS winner FROM candidates GROUP BY ALL)
        SELECT lines.state, lines.district, lines.year,
          coalesce(sum(votes) FILTER (party LIKE '%DEMOCRAT%' OR party = 'DFL'), 0) AS dem,
          coalesce(sum(votes) FILTER (party LIKE '%REPUBLICAN%'), 0) AS rep,
          max(totalvotes) AS total, dem / nullif(dem + rep, 0) AS share, any_value(winner) AS winner
        FROM lines LEFT JOIN winners USING (state, district, year) GROUP BY ALL"""
    ).to_arrow_table()


def redistricting() -> dict[tuple[str, str], str]:
    """The label of every state and election year 1972-2000."""
    with (DATA / "redistricting_state_year_labels_1972_2000.csv").open(encoding="utf-8") as file:
        return {(row["state"], row["election_year"]): row["label"] for row in csv.DictReader(file)}


def profiles(*times: str) -> pa.Table:
    """Census profiles by district: ``state``, ``district``, ``time`` (in the order given) and ``MEASURES``."""
    rows: list[dict[str, Any]] = []
    for order, time in enumerate(times):
        name, prefix = PROFILES[time]
        labels = _csv(f"{name}_metadata.csv.gz")
        chosen = {
            measure: next(row[0] for row in labels if row[0].startswith(prefix) and re.search(pattern, row[1]))
            for measure, pattern in MEASURES.items()
        }
        header, _, *lines = _csv(f"{name}_with_ann.csv.gz")
        for line in lines:
            cells = dict(zip(header, line, strict=True))
            code = cells["GEO.id2"].zfill(4)
            if code[:2] not in {"11", "72"}:
                rows.append(
                    {"state": code[:2], "district": code[2:], "time": order}
                    | {measure: _number(cells[column]) for measure, column in chosen.items()}
                )
    return pa.Table.from_pylist(rows)


def foreign() -> dict[str, tuple[pa.Table, Columns]]:
    """Panels of other fields, with their columns."""
    found = {}
    for name, unit, group, time, measures in FOREIGN:
        path = DATA / "foreign-panels" / f"{name}.csv.gz"
        rows = duckdb.sql(f"SELECT * FROM read_csv('{path}', nullstr = ['NA', ''])")
        columns = Columns(unit=unit, group=group, time=time, measures=tuple(measures.split(",")))
        if name == "RiceFarms_plm":
            rows = rows.project("*, row_number() OVER (PARTITION BY id) AS season")
        found[name.partition("_")[0]] = rows.to_arrow_table(), columns
    return found


def annotated() -> dict[str, tuple[Series, dict[str, list[int]]]]:
    """Series of the Turing Change Point Dataset with the positions that each annotator marked."""
    folder = DATA / "tcpd"
    marks = json.loads((folder / "annotations_dev.json").read_text(encoding="utf-8"))
    found = {}
    for name, by_annotator in marks.items():
        raw = json.loads((folder / "series" / f"{name}.json").read_text(encoding="utf-8"))["series"]
        values = np.array([[np.nan if cell is None else cell for cell in one["raw"]] for one in raw], dtype=float)
        labels = tuple(str(one["label"]) for one in raw)
        times = [str(position) for position in range(values.shape[1])]
        found[name] = (Series(times=times, names=labels, values=values), by_annotator)
    return found


def _csv(name: str) -> list[list[str]]:
    with gzip.open(DATA / "acs-cd-profiles" / name, "rt", encoding="latin-1", newline="") as file:
        return list(csv.reader(file))


def _number(text: str) -> float | None:
    plain = re.sub(r"\(r\d+\)", "", text).replace(",", "")
    try:
        return float(plain)
    except ValueError:
        return None
