"""The bounds of a volume: which numbers of rows are outside of them."""

from __future__ import annotations

import pytest

from mlops_assets.platform.contracts.volume import ANY_VOLUME, Volume
from mlops_assets.platform.errors import ContractError


@pytest.mark.parametrize("rows", [0, 1, 10**9])
@pytest.mark.parametrize("before", [None, 0, 10**9])
def test_any_volume_has_no_bound(rows: int, before: int | None) -> None:
    assert not ANY_VOLUME.bounded
    assert ANY_VOLUME.broken_bound(rows, before) is None


@pytest.mark.parametrize("percent", range(100))
def test_a_loss_of_exactly_the_bound_is_within_it_and_one_row_more_is_not(percent: int) -> None:
    volume = Volume(max_loss=percent / 100, allow_empty=True)
    assert volume.broken_bound(100 - percent, 100) is None
    assert volume.broken_bound(100 - percent - 1, 100) is not None


def test_a_partition_that_was_empty_may_grow_and_stay_empty() -> None:
    volume = Volume(allow_empty=True, max_loss=0.0)
    assert volume.broken_bound(0, 0) is None
    assert volume.broken_bound(5, 0) is None


@pytest.mark.parametrize("bounds", [(0, None), (5, 4), (-1, 3)])
def test_bounds_that_are_none_are_refused(bounds: tuple[int, int | None]) -> None:
    with pytest.raises(ContractError, match="expect_rows is"):
        Volume(expect_rows=bounds)


@pytest.mark.parametrize("loss", [-0.1, 1.1, float("nan")])
def test_a_loss_that_is_no_share_is_refused(loss: float) -> None:
    with pytest.raises(ContractError, match="max_loss is"):
        Volume(max_loss=loss)
