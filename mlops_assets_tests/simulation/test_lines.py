"""Lines of voter files, compared with what a CSV reader makes of them."""

from __future__ import annotations

import csv
import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.simulation.lines import Coded, Column, Computed, Constant, header, lines

_TEXT = st.text(alphabet=st.sampled_from("AZ ÑÉß09/-'"), max_size=6)
_PEOPLE = 7
_CODES = {"one": 3, "other": 5}


def _columns() -> st.SearchStrategy[list[Column]]:
    coded = st.sampled_from(sorted(_CODES)).flatmap(
        lambda fact: st.lists(_TEXT, min_size=_CODES[fact], max_size=_CODES[fact]).map(lambda texts: Coded(fact, texts))
    )
    computed = st.just(Computed("format('{:03d}', other)"))
    return st.lists(st.one_of(coded, computed, _TEXT.map(Constant)), min_size=1, max_size=9)


@settings(max_examples=60)
@given(columns=_columns(), seed=st.integers(0, 1000))
def test_any_columns_come_back_from_a_csv_reader_as_they_were_meant(columns: list[Column], seed: int) -> None:
    random = np.random.default_rng(seed)
    facts = {name: random.integers(0, count, _PEOPLE).astype(np.int32) for name, count in _CODES.items()}

    def meant(column: Column, row: int) -> str:
        if isinstance(column, Coded):
            return column.texts[int(facts[column.fact][row])]
        return column.text if isinstance(column, Constant) else f"{facts['other'][row]:03d}"

    text = "".join(line for batch in lines(columns, facts) for line in batch)

    found = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t"))
    assert found == [[meant(column, row) for column in columns] for row in range(_PEOPLE)]
    assert text.count("\r\n") == text.count("\n") == _PEOPLE
    assert text.count('"') == 2 * _PEOPLE * len(columns)


def test_the_header_is_quoted_like_the_rows() -> None:
    assert header(["ncid", "vtd_desc"]) == '"ncid"\t"vtd_desc"\r\n'
