"""The forms that compete for being the model, and the choice among them.

Put here what all models share about choosing. Keep out how a form is fitted and how its error is measured.

A form is chosen by its mean error on elections that it had not seen, never by how well it fits. What the evaluation
calls ``model`` makes that choice anew before each tested election, from the elections before it, so that its errors do
not flatter themselves by hindsight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlops_assets.contracts.models import FORMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BASELINE, LINEAR, BOOSTED = FORMS

UNTESTED: Final = LINEAR
"""The form that is taken where no election can be tested."""


def mean_errors(errors: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean error of each form over the elections that every form was tested on; empty where there is none.

    Args:
        errors: for each form its error on each tested election.
    """
    tested = sorted(set.intersection(*(set(by_election) for by_election in errors.values()))) if errors else []
    if not tested:
        return {}
    return {form: sum(by_election[each] for each in tested) / len(tested) for form, by_election in errors.items()}


def chosen(errors: Mapping[str, Mapping[str, float]]) -> str:
    """The form of the smallest mean error, of equal ones the simplest; :data:`UNTESTED` where nothing was tested."""
    means = mean_errors(errors)
    return min(means, key=lambda form: (means[form], FORMS.index(form))) if means else UNTESTED


def chosen_before(errors: Mapping[str, Mapping[str, float]], election: str, tested: Sequence[str]) -> str:
    """The form that the elections before that one would have chosen."""
    before = [each for each in tested if each < election]
    return chosen({form: {e: by_election[e] for e in before} for form, by_election in errors.items()} if before else {})
