"""Limits that runs ask for by tags."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.deployment.run_limits import (
    CPUS_TAG,
    MEMORY_TAG,
    PIDS_TAG,
    RunLimitError,
    RunLimits,
    limits_of_run,
)

USUAL = RunLimits(memory=2 * 2**30, cpus=1.0, pids=256)
CEILING = RunLimits(memory=8 * 2**30, cpus=4.0, pids=1024)


def test_a_run_without_tags_gets_the_usual_limits() -> None:
    assert limits_of_run({"dagster/partition": "2021-07|NC"}, USUAL, CEILING) == USUAL


def test_a_run_gets_what_its_tags_ask_for() -> None:
    asked = limits_of_run({MEMORY_TAG: "512m", CPUS_TAG: "2.5", PIDS_TAG: "64"}, USUAL, CEILING)
    assert asked == RunLimits(memory=512 * 2**20, cpus=2.5, pids=64)
    assert asked.container_kwargs() == {
        "mem_limit": 512 * 2**20,
        "memswap_limit": 512 * 2**20,
        "nano_cpus": 2_500_000_000,
        "pids_limit": 64,
    }


@pytest.mark.parametrize(("tag", "value"), [(MEMORY_TAG, "9g"), (CPUS_TAG, "4.1"), (PIDS_TAG, "1025")])
def test_beyond_the_ceiling_is_refused_naming_the_tag(tag: str, value: str) -> None:
    with pytest.raises(RunLimitError, match=f"Run tag {tag}: it asks for .* no run may have more than"):
        limits_of_run({tag: value}, USUAL, CEILING)


@given(st.sampled_from([MEMORY_TAG, CPUS_TAG, PIDS_TAG]), st.text(max_size=12))
def test_no_text_gives_a_limit_outside_of_what_is_allowed(tag: str, value: str) -> None:
    try:
        asked = limits_of_run({tag: value}, USUAL, CEILING)
    except RunLimitError as refused:
        assert tag in str(refused)  # noqa: PT017  both ways out are asserted
    else:
        assert 2**26 <= asked.memory <= CEILING.memory
        assert 0 < asked.cpus <= CEILING.cpus
        assert 16 <= asked.pids <= CEILING.pids


@pytest.mark.parametrize("value", ["", "-1g", "1t", "2 gigabytes", "nan", "1e9", "10"])
def test_an_unreadable_memory_is_refused_with_an_example(value: str) -> None:
    with pytest.raises(RunLimitError, match="such as 512m"):
        limits_of_run({MEMORY_TAG: value}, USUAL, CEILING)
