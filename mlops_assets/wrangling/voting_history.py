"""Voting history: who voted in one general election, by pseudonym.

Put here how rows of a raw history become rows of ``wrangled/voting_history``. Keep out features made of several
elections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.wrangling import classes
from mlops_assets.wrangling.pseudonyms import pads, person_text, token

if TYPE_CHECKING:
    import ibis.expr.types as ir


def voting_history(history: ir.Table, *, pseudonym_key: str) -> ir.Table:
    """Map and pseudonymise a history; a person has the same token as in ``wrangled/voters``.

    Args:
        history: rows of ``raw/voting_history``.
        pseudonym_key: key of the tokens.

    Returns:
        Rows of ``wrangled/voting_history``: one per state, election and person. ``county`` is NULL where none is given.
    """
    keyed = history.cross_join(pads(pseudonym_key))
    return keyed.select(
        "state",
        "election",
        person_token=token(person_text(keyed.state, keyed.ncid), keyed),
        county=classes.normalised(keyed.county_desc).nullif(""),
        party=classes.PARTY.classes(keyed.voted_party_cd),
    )
