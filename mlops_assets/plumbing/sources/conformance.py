"""Conformance: what every kind of source must do, as tests that a kind of anybody's can run.

Put here a promise that holds for all kinds. Keep out what only one of them knows: its tests beside it.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis.expr.datatypes as types
import pandera.ibis as pa

from mlops_assets.platform.assets.raw import KEPT, TAG
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.lake import ledger, raw
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from mlops_assets.plumbing.sources.source import Source

Row = dict[str, str | None]

_MONTH: Final = "2024-01"
_ODD: Final = (
    'a "quoted" word',
    "comma, semicolon; tab\tand\nline",
    "süß 東京 🙂",
    " spaces ",
    "NULL",
    "'; DROP TABLE x --",
)


class _Sale(pa.DataFrameModel):
    """One row for each sale."""

    month: types.String
    sale: types.Int64
    day: types.Date
    amount: types.Float64 = pa.Field(ge=0)
    note: types.String = pa.Field(nullable=True)

    class Config:
        """No sale twice."""

        unique = ("month", "sale")


CONTRACT: Final = Contract(
    layer="raw",
    table="sales",
    model=_Sale,
    lake=Lake("conformance"),
    description="What conformance tests load.",
    owners=["team:plumbing"],
    partitions_def=dg.MonthlyPartitionsDefinition("2024-01", end_date="2024-07", fmt="%Y-%m"),
    partition_columns={"month": "month"},
)


class SourceConformance(ABC):
    """Tests of a kind of source. Derive a class named ``Test...`` from it, which pytest collects.

    Each test needs a home folder of its own (``MLOPS_ASSETS_HOME``), as an automatically used fixture.

    Example:
        >>> import mlops_assets as ma
        >>> class TestFiles(ma.SourceConformance):
        ...     def source(self, contract, **options):
        ...         return ma.FileSource(contract=contract, path="exports", file="{month}.parquet", **options)
        ...     def give(self, rows):
        ...         "Write the rows into exports/2024-01.parquet, every value a text."
        ...     def away(self):
        ...         "A context in which the file is not there."
        >>> [name for name in dir(TestFiles) if name.startswith("test_")][0]
        'test_a_column_that_is_missing_is_refused'
    """

    @abstractmethod
    def source(self, contract: Contract, **options: Any) -> Source:  # noqa: ANN401  of any kind
        """The source of that table, with these further options; ``retries`` is among them."""

    @abstractmethod
    def give(self, rows: Sequence[Mapping[str, str | None]]) -> None:
        """Let the source hold these rows for ``2024-01``, and no others; all have the same columns."""

    @abstractmethod
    def away(self) -> AbstractContextManager[None]:
        """A context in which the source does not answer."""

    def test_rows_come_in_the_types_of_the_contract(self) -> None:
        """Every value is what was given, whatever it holds."""
        given = [_row(number, note=note) for number, note in enumerate((*_ODD, None), 1)]
        self.give(given)
        self._publishes()
        expected = [(_MONTH, int(_text(row, "sale")), dt.date(2024, 1, 3), 1.5, row["note"]) for row in given]
        _require(_rows() == expected, f"published {_rows()}, not {expected}")

    def test_asked_again_it_gives_the_same(self) -> None:
        """The content hash of the same rows is the same."""
        self.give([_row(1), _row(2)])
        first, second = self._publishes(), self._publishes()
        _require(first == second, f"content hashes are {first} and {second}")

    def test_rows_that_changed_take_the_place_of_those_before(self) -> None:
        """Nothing of the rows before is left."""
        self.give([_row(1), _row(2)])
        first = self._publishes()
        self.give([_row(2), _row(3)])
        _require(self._publishes() != first, "the content hash is the same")
        _require([row[1] for row in _rows()] == [2, 3], f"published {_rows()}")

    def test_a_value_that_does_not_fit_its_column_is_refused(self) -> None:
        """The column, how many rows and the first of them are told, and the rows before stand."""
        self._refused([_row(1), _row(2, amount="1,291")], "amount: 1 of 2 rows")

    def test_a_column_that_is_missing_is_refused(self) -> None:
        """It is named."""
        self._refused([{name: value for name, value in _row(1).items() if name != "day"}], "missing: day")

    def test_a_column_that_nobody_asked_for_is_refused(self) -> None:
        """It is named."""
        self._refused([{**_row(1), "more": "x"}], "unexpected: more")

    def test_a_column_that_was_renamed_is_told_apart(self) -> None:
        """The declaration's remedy is told."""
        row = _row(1)
        row["notes"] = row.pop("note")
        self._refused([row], "note: notes")

    def test_rows_of_another_partition_are_refused(self) -> None:
        """Whose they are is told."""
        self._refused([{**_row(1), "month": _MONTH}, {**_row(2), "month": "2024-01.0"}], "'2024-01.0'")

    def test_no_rows_where_there_were_some_are_refused(self) -> None:
        """The rows before stand."""
        self.give([_row(1)])
        self._publishes()
        before = _rows()
        self.give([])
        done = self._run()
        _require(not done.success, "no rows were published")
        _require(_rows() == before, f"published {_rows()}")

    def test_away_it_publishes_nothing_and_recovers_by_itself(self) -> None:
        """The rows before stand, the error names source and remedy, and the next run succeeds."""
        self.give([_row(1)])
        self._publishes()
        before = _rows()
        with self.away():
            done = self._run()
            _require(not done.success, "a run succeeded while the source was away")
            told = _told(done)
            _require(_rows() == before, f"published {_rows()}")
            _require("unexpected" not in told, f"an exception that nobody expected: {told}")
        self._publishes()

    def test_what_was_kept_gives_the_same_rows_while_it_is_away(self) -> None:
        """Read again by the run's tag, though the source holds other rows since; a kind that keeps nothing says so."""
        self.give([_row(number, note=note) for number, note in enumerate((*_ODD, None), 1)])
        first, before = self._publishes(), _rows()
        self.give([_row(number) for number in range(11, 19)])
        self._publishes()
        kept = next(iter(_kept()), None)
        with self.away():
            done = self._run(tags={TAG: kept or KEPT})
        if kept is None:
            _require("kept" in _told(done), f"it keeps nothing, and told {_told(done)!r}")
            return
        _require(done.success, _told(done))
        _require(_rows() == before, f"published {_rows()}, not {before}")
        _require(self._hash(done) == first, "the content hash is another one")

    def test_what_was_refused_is_read_again_and_refused_alike(self) -> None:
        """Of what was refused nothing is on record; a corrected declaration would take it."""
        self._refused([_row(1), _row(2, amount="1,291")], "amount: 1 of 2 rows")
        published = {each.sha256 for each in _recorded()}
        for sha256 in (each for each in _kept() if each not in published):
            done = self._run(tags={TAG: sha256})
            _require("amount: 1 of 2 rows" in _told(done), f"told {_told(done)!r}")

    def _run(self, tags: Mapping[str, str] | None = None) -> dg.ExecuteInProcessResult:
        asset = self.source(CONTRACT, retries=0).asset()
        return dg.materialize([asset], partition_key=_MONTH, raise_on_error=False, tags=tags)

    def _publishes(self) -> str:
        """Run it, and return the content hash."""
        done = self._run()
        _require(done.success, _told(done))
        return self._hash(done)

    @staticmethod
    def _hash(done: dg.ExecuteInProcessResult) -> str:
        [event] = done.get_asset_materialization_events()
        return str((event.materialization.tags or {})["dagster/data_version"])

    def _refused(self, rows: list[Row], told: str) -> None:
        """Require that these rows after good ones are refused, saying that."""
        self.give([_row(1)])
        self._publishes()
        before = _rows()
        self.give(rows)
        done = self._run()
        _require(not done.success, "it was published")
        _require(told in _told(done), f"told {_told(done)!r}, not {told!r}")
        _require(_rows() == before, f"published {_rows()}")


def _row(number: int, *, amount: str = "1.5", note: str | None = "words") -> Row:
    return {"sale": str(number), "day": "2024-01-03", "amount": amount, "note": note}


def _text(row: Row, column: str) -> str:
    return row[column] or ""


def _rows() -> list[tuple[Any, ...]]:
    with LakeSession(Settings.load()) as session:
        return sorted(session.rows(current_table(session, CONTRACT)))


def _kept() -> list[str]:
    """The deliveries that are kept, oldest first."""
    return [delivery.sha256 for delivery in raw.listed(Settings.load(), CONTRACT)]


def _recorded() -> list[ledger.Delivery]:
    """The delivery that the publish was made from."""
    with LakeSession(Settings.load()) as session:
        entry = ledger.current(session, CONTRACT, [_MONTH])[_MONTH]
        return ledger.deliveries_of(session, CONTRACT.lake.name, entry)


def _told(done: dg.ExecuteInProcessResult) -> str:
    failures = [event.step_failure_data for event in done.get_step_failure_events()]
    return " ".join(
        str(failed.user_failure_data.description if failed.user_failure_data else failed.error) for failed in failures
    )


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001  as assert
    if not holds:
        raise AssertionError(otherwise)
