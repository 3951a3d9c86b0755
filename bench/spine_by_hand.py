"""The hand-written script beside which the platform is measured: from zipped voter files to district demographics.

Put here what somebody who knows DuckDB well would write for the same tables, with nothing around it: no contracts, no
checks, no versions, no lake. Its four tables hold the same rows as the platform's, which the benchmark verifies. What
happened between two months is found by the library that the platform uses too, since that method is no part of the
platform's price.
"""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING, Final

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.contracts import codes
from mlops_assets.contracts.layouts import LAYOUTS, VOTER_FILE_COLUMNS
from mlops_assets.wrangling.addresses import ABBREVIATIONS
from mlops_assets.wrangling.compared import VOTERS
from mlops_assets.wrangling.comparisons.named import events_table, linked_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

TABLES: Final = ("voter_file", "voters", "voter_changes", "voter_events", "district_demographics")
"""What the script writes for each month, as ``MONTH-TABLE.parquet``."""

_FORMAT: Final = "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 32768)"
_BLOCK: Final = hashlib.sha256().block_size


def run(landing: Path, target: Path, *, state: str, months: Iterable[str], key: str) -> int:
    """Read a state's voter files of these months and write the five tables of each; returns the rows read.

    Args:
        landing: folder with ``STATE/MONTH/ncvoter.zip``.
        target: folder for the Parquet files.
        state: postal code.
        months: the months in their order.
        key: of the pseudonyms.
    """
    connection = duckdb.connect()
    connection.execute(f"SET temp_directory = '{target}/spilled'")
    _pads(connection, key)
    rows, before = 0, None
    for month in months:
        rows += _voter_file(connection, landing / state / month / "ncvoter.zip", target, state=state, month=month)
        voters = _path(target, month, "voters")
        _copy(connection, _voters(target, state=state, month=month), voters)
        _events(connection, target, state=state, month=month, before=before)
        counts = _DEMOGRAPHICS.format(voters=f"'{voters}'", state=state, month=month, year=month[:4])
        _copy(connection, counts, _path(target, month, "district_demographics"))
        before = month
    return rows


def _path(target: Path, month: str, table: str) -> Path:
    return target / f"{month}-{table}.parquet"


def _copy(connection: duckdb.DuckDBPyConnection, query: str, target: Path) -> None:
    connection.execute(f"COPY ({query}) TO '{target}' {_FORMAT}")


def _voter_file(connection: duckdb.DuckDBPyConnection, archive: Path, target: Path, *, state: str, month: str) -> int:
    text = target / "voter_file.txt"
    with zipfile.ZipFile(archive) as zipped, zipped.open("ncvoter.txt") as delivered, text.open("wb") as written:
        while block := delivered.read(2**20):
            written.write(block if block.isascii() else block.decode("latin-1").encode())
    with text.open(encoding="utf-8") as opened:
        header = tuple(name.strip('"') for name in opened.readline().rstrip("\r\n").split("\t"))
    layout = next(name for name, columns in LAYOUTS.items() if columns == header)
    columns = ", ".join(name if name in header else f"NULL::VARCHAR AS {name}" for name in VOTER_FILE_COLUMNS)
    types = ", ".join(f"'{name}': 'VARCHAR'" for name in header)
    [(rows,)] = connection.execute(f"""
        COPY (
            SELECT '{state}' AS state, '{month}' AS month, '{layout}' AS layout,
                '{state}/{month}/{archive.name}' AS source_file, row_number() OVER () AS source_row, {columns}
            FROM read_csv('{text}', columns={{{types}}}, delim='\t', quote='"', escape='"', header=true,
                auto_detect=false, allow_quoted_nulls=false)
        ) TO '{_path(target, month, "voter_file")}' {_FORMAT}
    """).fetchall()
    text.unlink()
    return int(rows)


def _pads(connection: duckdb.DuckDBPyConnection, key: str) -> None:
    secret = key.encode()
    block = (hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret).ljust(_BLOCK, b"\0")
    connection.register(
        "pads",
        pa.table(
            {name: [bytes(byte ^ mask for byte in block)] for name, mask in (("inside", 0x36), ("outside", 0x5C))}
        ),
    )


def _token(text: str) -> str:
    return f"left(sha256(outside || unhex(sha256(inside || encode({text})))), 32)"


def _classes(column: str, official: Mapping[str, str], synonyms: Mapping[str, str]) -> str:
    known = {**{other: official[code] for other, code in synonyms.items()}, **official}
    cases = " ".join(f"WHEN '{code}' THEN '{name}'" for code, name in known.items())
    return f"CASE upper(trim(coalesce({column}, ''))) {cases} ELSE '{codes.UNRECOGNISED}' END"


def _kept(column: str, named: str) -> str:
    known = f"length(trim({column})) <= 3 OR {named} <> '{codes.UNRECOGNISED}'"
    return f"CASE WHEN {column} IS NULL OR {known} THEN {column} ELSE '(withheld)' END"


def _within(number: str, least: int, most: str) -> str:
    return f"CASE WHEN {number} BETWEEN {least} AND {most} THEN {number} END"


def _blanks(column: str) -> str:
    return f"upper(trim(regexp_replace(coalesce({column}, ''), '[\\s.,]+', ' ', 'g')))"


def _voters(target: Path, *, state: str, month: str) -> str:
    """The month's registered persons, once each, in plain classes and without personal values."""
    year = month[:4]
    words = " ".join(f"WHEN '{word}' THEN '{short}'" for word, short in ABBREVIATIONS.items())
    street = f"""array_to_string(list_transform(string_split({_blanks("replace(res_street_address, '#', ' # ')")}, ' '),
        lambda word: CASE word {words} ELSE word END), ' ')"""
    coded = {
        "race": ("race_code", codes.RACE, codes.SYNONYMS["race"]),
        "ethnicity": ("ethnic_code", codes.ETHNICITY, codes.SYNONYMS["ethnicity"]),
        "gender": ("gender_code", codes.GENDER, codes.SYNONYMS["gender"]),
        "party": ("party_cd", codes.PARTY, codes.SYNONYMS["party"]),
        "status": ("status_cd", codes.STATUS, {}),
    }
    named = ", ".join(f"{_classes(*of)} AS {name}" for name, of in coded.items())
    return f"""
        WITH read AS (
            SELECT '{state}:' || upper(trim(ncid)) AS person,
                {street} || '|' || {_blanks("res_city_desc")} || '|' || upper(trim(coalesce(state_cd, ''))) || '|'
                    || left(upper(trim(coalesce(zip_code, ''))), 5) AS address,
                nullif(regexp_extract('0' || trim(cong_dist_abbrv), '^0*([0-9]{{2}})$', 1), '') AS district,
                coalesce(nullif(upper(trim(county_desc)), ''), '{codes.UNRECOGNISED}') AS county,
                {named}, race_code, ethnic_code, gender_code, party_cd,
                try_cast(nullif(regexp_extract(trim(birth_year), '^([0-9]{{4}})$', 1), '') AS BIGINT) AS born,
                upper(trim(coalesce(registr_dt, ''))) AS registered_day,
                try_cast(nullif(regexp_extract(
                    trim(registr_dt), '^(?:[0-9]{{1,2}}/[0-9]{{1,2}}/)?([0-9]{{4}})', 1), '') AS BIGINT) AS registered
            FROM '{_path(target, month, "voter_file")}'
        ), normal AS (
            SELECT * EXCLUDE (born, registered, race_code, ethnic_code, gender_code, party_cd),
                {_within("born", 1890, f"least(2014, {year})")} AS birth_year,
                {_within("registered", 1900, year)} AS registered_year,
                {_kept("race_code", "race")} AS race_code, {_kept("ethnic_code", "ethnicity")} AS ethnic_code,
                {_kept("gender_code", "gender")} AS gender_code, {_kept("party_cd", "party")} AS party_code
            FROM read WHERE status NOT IN ('DENIED', 'REMOVED') AND district IS NOT NULL
        ), once AS (
            SELECT * EXCLUDE (birth_year), birth_year - birth_year % 5 AS birth_cohort,
                count(*) OVER same AS copies
            FROM normal
            WINDOW same AS (PARTITION BY person)
            QUALIFY row_number() OVER (
                PARTITION BY person
                ORDER BY CASE status WHEN 'ACTIVE' THEN 0 WHEN 'INACTIVE' THEN 1 WHEN 'TEMPORARY' THEN 2 ELSE 3 END,
                    registered_year DESC, registered_day DESC, district, county, address, birth_cohort, race_code,
                    ethnic_code, gender_code, party_code
            ) = 1
        )
        SELECT '{state}' AS state, '{month}' AS month, {_token("person")} AS person_token,
            {_token("CASE WHEN address LIKE '|%' THEN 'NO ADDRESS|' || person ELSE address END")} AS address_token,
            district, county, status, race, ethnicity, gender, party, birth_cohort, registered_year, race_code,
            ethnic_code, gender_code, party_code, copies
        FROM once, pads
    """


def _events(connection: duckdb.DuckDBPyConnection, target: Path, *, state: str, month: str, before: str | None) -> None:
    engine = ibis.duckdb.from_connection(connection)
    read = [str(_path(target, each, "voters")) for each in (before, month) if each is not None]
    partition = {"month": month, "state": state}
    pair = VOTERS.pair(engine.read_parquet(read), partition, before)
    engine.to_parquet(pair.changes(VOTERS.smallest), _path(target, month, "voter_changes"), compression="zstd")
    told = [linked_event(row, before=before, entities=VOTERS.words.entities) for row in pair.events()]
    rows = events_table(told, [], partition, of=VOTERS.begins, group=None)
    pq.write_table(rows, _path(target, month, "voter_events"), compression="zstd")


_DEMOGRAPHICS: Final = """
    WITH counted AS (
        SELECT district, race, ethnicity, gender, party, status, {year} - birth_cohort - 2 AS age,
            count(*) AS voters
        FROM {voters} GROUP BY ALL
    ), grouped AS (
        SELECT * EXCLUDE (age), CASE WHEN age IS NULL THEN 'UNKNOWN' WHEN age < 25 THEN '18-24'
            WHEN age < 35 THEN '25-34' WHEN age < 45 THEN '35-44' WHEN age < 55 THEN '45-54' WHEN age < 65 THEN '55-64'
            WHEN age < 75 THEN '65-74' ELSE '75+' END AS age_group
        FROM counted
    ), cells AS (
        SELECT district, coalesce(race, ethnicity, gender, party, age_group, status, 'all') AS category,
            CASE grouping(race, ethnicity, gender, party, age_group, status)
                WHEN 31 THEN 'race' WHEN 47 THEN 'ethnicity' WHEN 55 THEN 'gender' WHEN 59 THEN 'party'
                WHEN 61 THEN 'age_group' WHEN 62 THEN 'status' ELSE 'all' END AS attribute,
            sum(voters)::BIGINT AS voters
        FROM grouped
        GROUP BY GROUPING SETS ((district), (district, race), (district, ethnicity), (district, gender),
            (district, party), (district, age_group), (district, status))
    ), judged AS (
        SELECT *, voters < 5 AS small,
            row_number() OVER (PARTITION BY district, attribute ORDER BY voters, category) AS place,
            count(*) FILTER (voters < 5) OVER same AS small_cells,
            sum(voters) FILTER (voters < 5) OVER same AS small_voters
        FROM cells WINDOW same AS (PARTITION BY district, attribute)
    ), withheld AS (
        SELECT *, small OR (place = small_cells + 1
            AND (small_cells = 1 OR (small_cells > 0 AND small_voters < 5))) AS suppressed
        FROM judged
    )
    SELECT '{state}' AS state, '{month}' AS month, district, attribute, category,
        CASE WHEN NOT suppressed THEN voters END AS voters, suppressed
    FROM withheld
"""
