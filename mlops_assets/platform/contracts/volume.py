"""Volume: how many rows a partition is expected to have, and how many it may lose against what was published before.

Put here the declaration and its judgement of a number of rows. Keep out the counting (that is the audit) and the
look-up of what was published before (that is the ledger).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mlops_assets.platform.contracts.arguments import require
from mlops_assets.platform.errors import ContractError

ACCEPTED_TAG: Final = "mlops_assets/accept_rows"
"""The tag of a run for which a person has found these numbers of rows to be right, separated by commas."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a number of rows is judged beside.

    Attributes:
        rows: rows in the last good publish of the same partition; ``None`` when it has none.
        accepted: numbers of rows that a person accepts in this run.
    """

    rows: int | None = None
    accepted: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Volume:
    """How many rows each partition of a table may have. By default: some, and no less than half of those before.

    Attributes:
        expect_rows: the least and the most rows of a partition; ``None`` for no upper bound.
        max_loss: the largest share, 0 to 1, of the rows of its last good publish that a partition may lose.
        allow_empty: whether a partition without rows is right, whatever ``expect_rows`` says of those with some.

    Example:
        >>> import mlops_assets as ma
        >>> ma.Volume(expect_rows=(1_000, None), max_loss=0.1).text
        'at least 1000 rows, at most 10 % of those of the last good publish lost'
    """

    expect_rows: tuple[int, int | None] = (1, None)
    max_loss: float = 0.5
    allow_empty: bool = False

    def __post_init__(self) -> None:
        """Refuse bounds that nothing or everything is within.

        Raises:
            ContractError: the loss is no share, what is given for bounds are none, the least number is below 1 or
                above the most.
        """
        bounds = "Give the least, from 1, and the most or None; allow_empty=True lets a partition have no rows."
        require("Volume", "expect_rows", self.expect_rows, tuple[int, int | None], bounds)
        require("Volume", "max_loss", self.max_loss, float | int, "Give a share, 0 to 1.")
        require("Volume", "allow_empty", self.allow_empty, bool, "Give True or False.")
        least, most = self.expect_rows
        if not 0.0 <= self.max_loss <= 1.0:
            raise ContractError(
                source="Volume", culprit=f"max_loss is {self.max_loss}, not a share.", remedy="Give 0 to 1."
            )
        if least < 1 or (most is not None and most < least):
            raise ContractError(
                source="Volume",
                culprit=f"expect_rows is {self.expect_rows}, which are no bounds.",
                remedy=bounds,
            )

    @property
    def bounded(self) -> bool:
        """Whether there is any number of rows that it does not allow."""
        return self != ANY_VOLUME

    @property
    def text(self) -> str:
        """The bounds in words."""
        least, most = self.expect_rows
        words = [
            f"at least {least}" if most is None else f"{least} to {most}",
            *(["or no"] if self.allow_empty else []),
            "rows",
        ]
        loss = (
            ""
            if self.max_loss == 1.0
            else f", at most {100 * self.max_loss:.4g} % of those of the last good publish lost"
        )
        return " ".join(words) + loss

    def broken_bound(self, rows: int, before: int | None) -> str | None:
        """Which bound that number of rows is outside of, in words; ``None`` when it is within all.

        Args:
            rows: of the partition.
            before: of its last good publish; ``None`` when it has none.
        """
        least, most = self.expect_rows
        if rows == 0 and not self.allow_empty:
            return "there must be some (allow_empty)"
        if 0 < rows < least:
            return f"at least {least} must be there (expect_rows)"
        if most is not None and rows > most:
            return f"at most {most} may be there (expect_rows)"
        # The quotient itself, because one minus a share is not exact.
        if before and (before - rows) / before > self.max_loss:
            return f"at most {100 * self.max_loss:.4g} % of them may be lost (max_loss)"
        return None


ANY_VOLUME: Final = Volume(max_loss=1.0, allow_empty=True)
"""Any number of rows: for tables of what happened, where nothing may have, and a correction may take all back."""


def worded(rows: int, reference: Reference, bound: str | None) -> str:
    """That number of rows beside its reference, with the bound that it is outside of, if any, and what to do then."""
    before = "none published before" if reference.rows is None else f"{reference.rows} in the last good publish"
    if bound is None:
        return f"{rows} rows, {before}."
    if rows in reference.accepted:
        return f"{rows} rows, {before}; {bound}. Accepted by the run's tag {ACCEPTED_TAG}."
    return (
        f"{rows} rows, {before}; {bound}. Is the source whole? If {rows} rows are right, run it with the tag "
        f"{ACCEPTED_TAG}={rows}, or declare another volume in the contract."
    )
