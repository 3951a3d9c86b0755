"""The closing report of a demonstration: what is in the lakes, what was found, how good the models are.

Put here reading and showing. Keep out running anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.table import Table

from mlops_assets.contracts import (
    events,
    features,
    models,
    predictions,
    raw,
    segmentation,
    training,
    wrangled,
)
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.wrangling import compared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.settings import Settings

_COMPARISONS: Final = (compared.VOTERS, compared.RESULTS, compared.PROFILES, compared.REGISTRATIONS)
CONTRACTS: tuple[Contract, ...] = (
    raw.VOTER_FILE,
    raw.VOTING_HISTORY,
    raw.HOUSE_RETURNS,
    raw.DISTRICT_PROFILES,
    raw.COUNTY_REGISTRATIONS,
    wrangled.VOTERS,
    wrangled.ENTRY_FINDINGS,
    wrangled.VOTING_HISTORY,
    wrangled.HOUSE_RESULTS,
    wrangled.DISTRICT_PROFILES,
    wrangled.COUNTY_REGISTRATIONS,
    features.DISTRICT_DEMOGRAPHICS,
    features.PERSON_TURNOUT,
    features.DISTRICT_ELECTION,
    *(table for each in _COMPARISONS for table in each.tables()),
    events.EVENTS,
    segmentation.SEGMENTATION,
    segmentation.SEGMENT_TURNOUT,
    training.PERSON_TURNOUT,
    training.DISTRICT_ELECTIONS,
    models.PERSON_TURNOUT_EVALUATION,
    models.PERSON_TURNOUT,
    models.DISTRICT_VOTES_EVALUATION,
    models.DISTRICT_VOTES,
    models.DISTRICT_SHARE_EVALUATION,
    models.DISTRICT_SHARE,
    predictions.DISTRICT_TURNOUT,
    predictions.DISTRICT_VOTES,
    predictions.DISTRICT_SHARE,
    predictions.MONITORING,
)
"""Every published table, in the order of the data's way."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event as the truth or the variance table names it.

    Attributes:
        time: ISO date of the first data that show it; of a truth also the beginning of one, such as the year.
        state: state that it happened in.
        cause: boundary, renumbering, units, entry, population or unknown.
        name: what happened, in a few words.
    """

    time: str
    state: str
    cause: str
    name: str


def rows_of(settings: Settings, contract: Contract) -> list[dict[str, object]]:
    """All rows of a table that are visible now; none when it has never been published."""
    with LakeSession(settings) as session:
        rows: list[dict[str, object]] = current_table(session, contract).to_pyarrow().to_pylist()
        return rows


def rows_of_partitions(settings: Settings, contract: Contract) -> int:
    """How many rows of a table are visible now, as its publishes recorded them."""
    with LakeSession(settings) as session:
        return sum(entry.record.rows for entry in _current(session, contract).values())


def _current(session: LakeSession, contract: Contract) -> dict[str | None, ledger.Entry]:
    keys: Sequence[str | None] = contract.partitions_def.get_partition_keys() if contract.partitions_def else [None]
    return ledger.current(session, contract, keys)


def show_tables(settings: Settings, console: Console) -> int:
    """Print rows and partitions of every published table; returns the rows of all of them together."""
    table = Table("table", "partitions", "rows", title="What is in the lakes")
    for column in table.columns[1:]:
        column.justify = "right"
    total = 0
    with LakeSession(settings) as session:
        for contract in CONTRACTS:
            entries = _current(session, contract)
            if entries:
                rows = sum(entry.record.rows for entry in entries.values())
                total += rows
                table.add_row(f"{contract.layer}/{contract.table}", f"{len(entries):,}", f"{rows:,}")
    console.print(table)
    return total


def show_events(found: Sequence[Event], truth: Sequence[Event], console: Console) -> int:
    """Print the events found beside those that really happened; returns how many do not match."""
    table = Table("shown by", "state", "cause", "what happened", "found as", title="Events against the truth")
    wrong = 0
    unmatched = list(found)
    for event in sorted(truth, key=lambda event: (event.time, event.state)):
        match = next(
            (
                f
                for f in unmatched
                if f.time.startswith(event.time) and (f.state, f.cause) == (event.state, event.cause)
            ),
            None,
        )
        if match is not None:
            unmatched.remove(match)
        wrong += match is None
        table.add_row(event.time, event.state, event.cause, event.name, match.name if match else "[red]not found[/red]")
    for event in unmatched:
        wrong += 1
        table.add_row(event.time, event.state, event.cause, "[red]nothing[/red]", event.name)
    console.print(table)
    return wrong


HEADLINES: Final = ("auc", "brier", "mean_absolute_error", "mean_absolute_percentage_error", "interval_coverage")
"""Metrics that the closing report shows; the tables hold more."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A model beside naive guesses, on the elections that a forecast can be tested on.

    Attributes:
        model: its name.
        metric: the error compared; smaller is better.
        error: the model's mean over the elections.
        naive: the best naive guess and its mean over the same elections.
        elections: the elections tested on.
    """

    model: str
    metric: str
    error: float
    naive: tuple[str, float]
    elections: tuple[str, ...]

    def __str__(self) -> str:
        """In one sentence."""
        guess, error = self.naive
        judged = "better than" if self.error < error else "[red]no better than[/red]"
        told = (
            f"{self.model}: {self.metric} {self.error:.4g} in elections it had not seen ({', '.join(self.elections)}), "
            f"{judged} the best naive guess ({guess}: {error:.4g})"
        )
        return told.replace("_", " ")


_COMPARED: Final = (
    (models.PERSON_TURNOUT_EVALUATION, "Turnout model", "person", "brier"),
    (models.DISTRICT_VOTES_EVALUATION, "Vote model", "district", "mean_absolute_percentage_error"),
    (models.DISTRICT_SHARE_EVALUATION, "Share model", "district", "mean_absolute_error"),
)
_NO_GUESSES: Final = ("model", "model_all_districts", "linear", "boosted")


def show_models(settings: Settings, console: Console) -> tuple[Comparison, ...]:
    """Print how each model that was evaluated did beside the naive guesses; returns the comparison of each."""
    found = []
    for contract, title, level, metric in _COMPARED:
        evaluations = rows_of(settings, contract)
        if not evaluations:
            # Public files tell of no persons.
            continue
        show_errors(evaluations, f"{title} beside the naive ones", console)
        found.append(compare(evaluations, title, level, metric))
        console.print(str(found[-1]))
    return tuple(found)


def compare(evaluations: Sequence[Mapping[str, object]], model: str, level: str, metric: str) -> Comparison:
    """A model's mean error over the elections that the newest forecast was tested on, beside the best naive guess."""
    newest = max(str(row["election"]) for row in evaluations)
    errors: dict[str, dict[str, float]] = {}
    for row in evaluations:
        if (row["election"], row["level"], row["metric"], row["segment"]) == (newest, level, metric, "all"):
            errors.setdefault(str(row["estimator"]), {})[str(row["tested_on"])] = float(str(row["value"]))
    elections = tuple(sorted(errors["model"].keys() - {"all"}))
    # A guess that some election does not have is not compared.
    means = {
        estimator: sum(by_election[year] for year in elections) / len(elections)
        for estimator, by_election in errors.items()
        if by_election.keys() >= set(elections)
    }
    guesses = {estimator: mean for estimator, mean in means.items() if estimator not in _NO_GUESSES}
    best = min(guesses, key=lambda estimator: guesses[estimator])
    return Comparison(
        model=model, metric=metric, error=means["model"], naive=(best, guesses[best]), elections=elections
    )


def show_errors(evaluations: Sequence[Mapping[str, object]], title: str, console: Console) -> None:
    """Print the headline errors of a model beside the naive ones, tested on the last election before each forecast."""
    last: dict[object, str] = {}
    evaluations = [row for row in evaluations if row["segment"] == "all" and row["tested_on"] != "all"]
    for row in evaluations:
        last[row["election"]] = max(last.get(row["election"], ""), str(row["tested_on"]))
    evaluations = [
        row for row in evaluations if str(row["tested_on"]) == last[row["election"]] and row["metric"] in HEADLINES
    ]
    metrics = sorted({(str(row["level"]), str(row["metric"])) for row in evaluations})
    heads = [f"{level}: {metric.replace('_', ' ')}" for level, metric in metrics]
    table = Table("tested on", "estimator", *heads, title=title)
    for column in table.columns[2:]:
        column.justify = "right"
    cells: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    for row in evaluations:
        of = cells.setdefault((str(row["tested_on"]), str(row["estimator"])), {})
        of[str(row["level"]), str(row["metric"])] = float(str(row["value"]))
    before = ""
    for tested_on, estimator in sorted(cells, key=lambda key: (key[0], key[1] != "model", key[1])):
        if before not in {"", tested_on}:
            table.add_section()
        values = cells[tested_on, estimator]
        shown = [f"{values[metric]:.4g}" if metric in values else "" for metric in metrics]
        table.add_row("" if tested_on == before else tested_on, estimator.replace("_", " "), *shown)
        before = tested_on
    console.print(table)
