r"""Generated contracts and frames, judged rule by rule by the audit, by pandera on pandas and by pandera on Polars.

Put here how cases come to be, and what pandera says of them. Keep out assertions.

A case is a contract with a frame: columns of several types, nullable or not, with pandera's built-in checks of random
arguments, and a key; few rows, of values that collide with the arguments: NULL, empty text, combining and astral signs,
minus zero, the bounds of the types. Left out, each for its reason:

- NaN and infinities. The audit refuses them by default; pandas takes NaN for a missing value.
- Patterns with ``\w``, ``\d``, ``\s`` or ``\b``. In the engine's expressions (RE2) they know ASCII alone, in those of
  pandas and Polars all of Unicode: of a word of other letters the audit says that it breaks ``^\w+$``.
- Texts with a newline at their end beside a pattern with ``$``, which in Python also means before that one.
- Patterns with alternatives outside of a group beside Polars, where pandera binds the first of them alone to the start.
- Whole numbers beyond 2**53 beside fractions as large. Pandas and Polars round both before they compare; so does the
  engine in an interval with a bound of each, such as 2**53 + 1 to 1e19. And whole numbers beyond 64 bits, which a
  contract refuses.
- ``unique_values_eq``. It judges a column as a whole, and no contract takes it.
- ``ignore_na=False`` beside pandas. What it says of a missing value depends on the column's dtype; Polars and the audit
  take what cannot be decided for broken.
- The number of rows of a repeated key beside Polars, which counts all of them whatever ``report_duplicates`` says, and
  beside pandas where a key is NULL in all its columns, which tells no NULL among its failure cases. The verdict is
  compared.
"""

from __future__ import annotations

import random
import tempfile
import uuid
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ibis.expr.datatypes as dt
import pandas as pd
import pandera.ibis
import pandera.pandas
import pandera.polars
import polars as pl
import pyarrow as pa
from pandera.errors import SchemaErrors
from pyarrow import parquet

from mlops_assets.platform.audit.audit import Candidate, audit
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.contracts.volume import Reference
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import StagedFile
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAMES: Final = 5
"""Frames of each contract, which are audited together: making a contract's query takes longer than asking it."""

MOST_ROWS: Final = 12
KEY: Final = "the key"

Counts = dict[str, int]


@dataclass(frozen=True)
class Kind:
    """A column's type in each library, the values it is filled with, and the checks it may have."""

    ibis: Any
    arrow: pa.DataType
    pandas: Any
    polars: Any
    values: tuple[Any, ...]
    checks: tuple[str, ...]
    foreign: tuple[Any, ...] = ()

    @property
    def compared(self) -> tuple[Any, ...]:
        """What values are compared with."""
        return self.values + self.foreign


ORDERED: Final = ("eq", "ne", "gt", "ge", "lt", "le", "in_range", "in_range", "isin", "notin")
TEXTS: Final = ("str_matches", "str_contains", "str_startswith", "str_endswith", "str_length")
WORDS: Final = (
    *("", " ", "a", "b", "ab", "Ab", "abc", "a b", "a.c", "a%c", "a_c", "'", "\\", '"', "x'; --", "0", "12", "-1"),
    *(
        "é",
        "e\u0301",
        "ß",
        "İ",
        "ǆ",
        "日本",
        "🤦🏼‍♂️",
        "\U0010ffff",
        "٣",
        "\u00a0",
        "\t",
        "a\nb",
        "\na",
        "NULL",
        "nan",
        "NaT",
    ),
)
PATTERNS: Final = (
    *("a", "^a", "a$", "^a$", "a|b", "^a|b$", "(a|b)c?", "[a-c]+", "[^a-c]", "^[A-Z]?b", "a.c", "a.b", r"a\.c", "^$"),
    *("", ".", "^.{2}$", "^.{2,3}$", "é", "日", "(?i)ab", "(?i)É", "[0-9]+", "^-?[0-9]+$", r"\\", "'", "b*"),
)
KINDS: Final = {
    "text": Kind(dt.String, pa.string(), pd.StringDtype(na_value=float("nan")), pl.String, WORDS, ORDERED + TEXTS * 2),
    "whole": Kind(
        dt.Int64,
        pa.int64(),
        pd.Int64Dtype(),
        pl.Int64,
        (0, 1, 2, 3, -1, 10, 2**31, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)),
        ORDERED,
        (0.5, 1.0, -0.1, 1e12),
    ),
    "small": Kind(
        dt.Int32,
        pa.int32(),
        pd.Int32Dtype(),
        pl.Int32,
        (0, 1, 2, 3, -1, 10, 2**31 - 1, -(2**31)),
        ORDERED,
        (0.5, 1.0, 2**31, 1e12),
    ),
    "number": Kind(
        dt.Float64,
        pa.float64(),
        "float64",
        pl.Float64,
        (0.0, -0.0, 0.1, 0.30000000000000004, 0.3, 1.0, -1.5, 2.0**53, 1e-320, 1e22, 1.7976931348623157e308, -1e300),
        ORDERED,
        (0, 1, 2**53 + 1),
    ),
    "single": Kind(
        dt.Float32,
        pa.float32(),
        "float32",
        pl.Float32,
        (0.0, -0.0, 0.5, 1.0, -1.5, 16777216.0, 2.0**-130),
        ORDERED,
        (0, 1, 0.1, 16777217),
    ),
    "flag": Kind(dt.Boolean, pa.bool_(), pd.BooleanDtype(), pl.Boolean, (True, False), ("eq", "ne", "isin", "notin")),
    "day": Kind(
        dt.Date,
        pa.date32(),
        "object",
        pl.Date,
        (date(1, 1, 1), date(1969, 12, 31), date(1970, 1, 1), date(2024, 2, 29), date(2024, 3, 1), date(9999, 12, 31)),
        ORDERED,
    ),
    "time": Kind(
        dt.Timestamp,
        pa.timestamp("us"),
        "datetime64[us]",
        pl.Datetime("us"),
        (
            datetime(1, 1, 1),  # noqa: DTZ001  this one and the others are without a zone, as the column is
            datetime(1969, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001
            datetime(1970, 1, 1),  # noqa: DTZ001
            datetime(2024, 2, 29, 12, 0, 0, 1),  # noqa: DTZ001
            datetime(2024, 2, 29, 12, 0, 0, 2),  # noqa: DTZ001
            datetime(9999, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001
        ),
        ORDERED,
    ),
}


@dataclass(frozen=True)
class Rule:
    """A built-in check of a column: its name and arguments, and its number in the contract, by which it is told."""

    check: str
    arguments: dict[str, Any]
    text: str

    def of(self, library: Any) -> Any:  # noqa: ANN401  the modules of pandera's libraries have no common type
        """The check for one of pandera's libraries."""
        return getattr(library.Check, self.check)(**self.arguments, error=self.text)

    def comparable(self, library: str) -> bool:
        """Whether that library means the same by it."""
        if library == "pandas":
            return bool(self.arguments.get("ignore_na", True))
        return not (self.check == "str_matches" and "|" in self.arguments["pattern"].partition("(")[0])


@dataclass(frozen=True)
class Case:
    """A contract in words, with the rows of one frame."""

    columns: dict[str, tuple[str, bool, tuple[Rule, ...]]]
    unique: tuple[str, ...]
    rows: dict[str, list[Any]]

    def schema(self, library: Any, kind: str) -> Any:  # noqa: ANN401
        """The contract as a schema of one of pandera's libraries."""
        return library.DataFrameSchema(
            {
                name: library.Column(
                    getattr(KINDS[of], kind),
                    [rule.of(library) for rule in rules if kind == "ibis" or rule.comparable(kind)],
                    nullable=nullable,
                )
                for name, (of, nullable, rules) in self.columns.items()
            },
            unique=list(self.unique) or None,
            strict=True,
            # Polars cannot, and says so.
            **({} if kind == "polars" else {"report_duplicates": "exclude_first"}),
        )

    @property
    def table(self) -> pa.Table:
        """The frame as Arrow."""
        return pa.table({name: pa.array(self.rows[name], KINDS[of].arrow) for name, (of, *_) in self.columns.items()})


def _arguments(chance: random.Random, check: str, kind: Kind) -> dict[str, Any]:
    if check in {"str_matches", "str_contains"}:
        return {"pattern": chance.choice(PATTERNS)}
    if check in {"str_startswith", "str_endswith"}:
        return {"string": chance.choice(kind.values)}
    if check == "str_length":
        least, most = sorted((chance.randrange(4), chance.randrange(6)))
        bounds = {"min_value": least, "max_value": most}
        return chance.choice([bounds, {"min_value": least}, {"max_value": most}, {"exact_value": most}])
    if check in {"isin", "notin"}:
        name = "allowed_values" if check == "isin" else "forbidden_values"
        return {
            name: [
                *chance.sample(kind.values, chance.randrange(min(4, len(kind.values)) + 1)),
                *([None] if chance.random() < 0.2 else []),
            ]
        }
    if check == "in_range":
        least, most = sorted((chance.choice(kind.compared), chance.choice(kind.compared)))
        # Pandera refuses an interval that nothing is in.
        flags = {
            "include_min": chance.random() < 0.7 or least == most,
            "include_max": chance.random() < 0.7 or least == most,
        }
        return {"min_value": least, "max_value": most, **flags}
    name = {"gt": "min_value", "ge": "min_value", "lt": "max_value", "le": "max_value"}.get(check, "value")
    return {name: chance.choice(kind.compared)}


def cases(seed: int) -> list[Case]:
    """Some cases of one contract, the same each time for a seed."""
    chance = random.Random(seed)  # noqa: S311  they are to come again
    columns: dict[str, tuple[str, bool, tuple[Rule, ...]]] = {}
    for place in range(chance.randint(1, 4)):
        of = chance.choice(list(KINDS))
        rules = []
        for number in range(chance.randint(0, 3)):
            check = chance.choice(KINDS[of].checks)
            kept = {"ignore_na": False} if chance.random() < 0.1 else {}
            arguments = {**_arguments(chance, check, KINDS[of]), **kept}
            rules.append(Rule(check, arguments, f"rule {number} of c{place}"))
        columns[f"c{place}"] = (of, chance.random() < 0.6, tuple(rules))
    unique = tuple(chance.sample(list(columns), chance.randint(0, min(2, len(columns)))))
    found = []
    for _ in range(FRAMES):
        size, missing = chance.randint(0, MOST_ROWS), chance.choice([0, 0.1, 0.4, 1])
        rows = {
            name: [None if chance.random() < missing else chance.choice(KINDS[of].values) for _ in range(size)]
            for name, (of, *_) in columns.items()
        }
        found.append(Case(columns, unique, rows))
    return found


def audited(session: LakeSession, folder: Path, given: list[Case]) -> list[Counts]:
    """For each case of one contract how many rows break each rule, as the audit says."""
    contract = Contract(
        layer="raw",
        table="things",
        model=given[0].schema(pandera.ibis, "ibis"),
        lake=Lake("curated"),
        description="Things.",
        owners=["team:things"],
    )
    candidates = []
    for case in given:
        # The engine keeps what it has read of a path.
        path = folder / f"{uuid.uuid4().hex}.parquet"
        parquet.write_table(case.table, path)
        staged = StagedFile(path, path.stat().st_size)
        candidates.append(Candidate(file=staged, partition={}, reference=Reference()))
    return [
        {
            _told(broken.column, broken.text): broken.rows
            for outcome in found.outcomes
            for broken in outcome.broken
            if broken.rows is not None
        }
        for found in audit(session, contract, candidates)
    ]


def _told(column: str | None, text: str) -> str:
    if text == "no two rows have the same key":
        return KEY
    return text if text.startswith("rule ") else f"{column} {text}"


def by_pandas(case: Case) -> Counts:
    """The same as pandera says of a pandas frame."""
    frame = pd.DataFrame(
        {name: pd.Series(case.rows[name], dtype=KINDS[of].pandas) for name, (of, *_) in case.columns.items()}
    )
    return _validated(case.schema(pandera.pandas, "pandas"), frame)


def by_polars(case: Case) -> Counts:
    """The same as pandera says of a Polars frame."""
    return _validated(case.schema(pandera.polars, "polars"), pl.from_arrow(case.table))


def _validated(schema: Any, frame: Any) -> Counts:  # noqa: ANN401
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        return {_rule(error): _rows(error.failure_cases) for error in errors.schema_errors}
    return {}


def _rows(cases: Any) -> int:  # noqa: ANN401
    # Of a repeated key pandas is told each value of a row by itself.
    return int(cases["index"].nunique()) if "index" in cases else len(cases)


def _rule(error: Any) -> str:  # noqa: ANN401
    reason = error.reason_code.name
    if reason == "SERIES_CONTAINS_NULLS":
        return f"{error.schema.name} is not null"
    if reason == "DUPLICATES":
        return KEY
    return str(error.check.error) if reason == "DATAFRAME_CHECK" else f"{reason}: {error}"


def _compared(counts: Counts, case: Case, library: str) -> Counts:
    """What is compared with that library: where numbers of rows mean something else, the verdict."""
    keys = zip(*(case.rows[column] for column in case.unique), strict=True)
    verdict_alone = library == "polars" or any(set(key) == {None} for key in keys)
    left_out = {rule.text for _, _, rules in case.columns.values() for rule in rules if not rule.comparable(library)}
    return {rule: 1 if rule == KEY and verdict_alone else rows for rule, rows in counts.items() if rule not in left_out}


def differences(count: int, first: int = 0) -> Iterator[str]:
    """What differs between the audit and pandera in that many generated cases, in words; at most one of each case."""
    with tempfile.TemporaryDirectory() as name, LakeSession(Settings(home=Path(name))) as session:
        numbered = ((seed, each) for seed in range(first, first + count) for each in [cases(seed)])
        done = 0
        for seed, given in islice(numbered, -(-count // FRAMES)):
            for number, (case, found) in enumerate(zip(given, audited(session, Path(name), given), strict=True)):
                done += 1
                if done > count:
                    return
                for library, theirs in (("pandas", by_pandas(case)), ("polars", by_polars(case))):
                    if _compared(found, case, library) != _compared(theirs, case, library):
                        yield f"seed {seed}, frame {number}: audit {found}, {library} {theirs}; {case}"
                        break
