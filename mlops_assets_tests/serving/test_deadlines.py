"""Tests of deadlines: who is ended, when, and who is left alone."""

from __future__ import annotations

import asyncio

import pytest

from mlops_assets.serving.http.deadlines import DeadlineError, Deadlines

SECONDS = 0.05


def test_what_ends_in_time_is_left_alone() -> None:
    async def run() -> None:
        deadlines = Deadlines(SECONDS)
        await deadlines.keep(asyncio.sleep(0))
        await asyncio.sleep(2 * SECONDS)
        await deadlines.keep(asyncio.sleep(0))

    asyncio.run(run())


def test_each_of_several_is_ended_at_its_own_time() -> None:
    async def run() -> list[float]:
        deadlines, loop = Deadlines(SECONDS), asyncio.get_running_loop()

        async def late(wait: float) -> float:
            await asyncio.sleep(wait)
            began = loop.time()
            with pytest.raises(DeadlineError):
                await deadlines.keep(asyncio.sleep(60))
            return loop.time() - began

        return await asyncio.gather(*(late(wait) for wait in (0.0, 0.02, 0.04, 0.3)))

    for seconds in asyncio.run(run()):
        # Far from the minute that the work would take, and as late as a busy machine likes.
        assert SECONDS * 0.9 <= seconds < 30


def test_a_task_goes_on_after_its_deadline_and_can_be_cancelled_later() -> None:
    async def run() -> None:
        deadlines = Deadlines(SECONDS)
        with pytest.raises(DeadlineError):
            await deadlines.keep(asyncio.sleep(60))
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SECONDS):
                await asyncio.sleep(60)

    asyncio.run(run())


def test_what_somebody_else_cancels_stays_cancelled() -> None:
    async def run() -> None:
        deadlines = Deadlines(60)
        task = asyncio.create_task(deadlines.keep(asyncio.sleep(60)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


def test_a_failure_of_the_request_passes_through() -> None:
    async def fail() -> None:
        raise ValueError("of the request")

    with pytest.raises(ValueError, match="of the request"):
        asyncio.run(Deadlines(60).keep(fail()))
