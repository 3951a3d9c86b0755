"""Tests of how an answer's parts leave: together where they come together, in order, and none too late."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from mlops_assets.serving.config import ServiceConfig
from mlops_assets.serving.http.connections import BoundedProtocol, Crowd
from mlops_assets.serving.http.whole_answers import WholeAnswers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

HEAD, BODY = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", b"body"


class Wire(asyncio.Transport):
    """Notes what is written to it, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False
        self.cut = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.cut = True


def written(write: Callable[[WholeAnswers], Awaitable[None]], *, close_seconds: float = 60.0) -> Wire:
    """The wire after that was done, and the event loop has turned."""
    wire = Wire()

    async def run() -> None:
        await write(WholeAnswers(wire, asyncio.get_running_loop(), close_seconds))
        await asyncio.sleep(0)

    asyncio.run(run())
    return wire


def test_head_and_body_leave_in_one_write() -> None:
    async def answer(answers: WholeAnswers) -> None:
        answers.write(HEAD)
        answers.write(BODY)

    assert written(answer).writes == [HEAD + BODY]


def test_a_head_whose_body_is_late_does_not_wait_for_it() -> None:
    async def answer(answers: WholeAnswers) -> None:
        answers.write(HEAD)
        await asyncio.sleep(0.01)
        answers.write(BODY)

    assert written(answer).writes == [HEAD, BODY]


def test_an_answer_without_body_leaves() -> None:
    async def answer(answers: WholeAnswers) -> None:
        answers.write(HEAD)
        answers.write(b"")

    assert written(answer).writes == [HEAD]


def test_parts_of_a_long_answer_leave_in_their_order() -> None:
    async def answer(answers: WholeAnswers) -> None:
        for number in range(9):
            answers.write(b"%d" % number)

    wire = written(answer)
    assert b"".join(wire.writes) == b"012345678"
    assert len(wire.writes) == 5


def test_what_is_held_is_written_before_the_connection_closes() -> None:
    async def answer(answers: WholeAnswers) -> None:
        answers.write(HEAD)
        answers.close()
        assert answers.is_closing()

    assert written(answer).writes == [HEAD]


@pytest.mark.parametrize("in_time", [True, False])
def test_a_closed_connection_whose_client_does_not_take_what_was_written_is_cut(*, in_time: bool) -> None:
    async def answer(answers: WholeAnswers) -> None:
        answers.write(HEAD)
        answers.close()
        if in_time:
            answers.lost()
        await asyncio.sleep(0.1)

    wire = written(answer, close_seconds=0.01)
    assert wire.writes == [HEAD]
    assert wire.cut is not in_time


def test_nothing_is_written_to_a_connection_that_is_gone() -> None:
    async def answer(answers: WholeAnswers) -> None:
        answers.write(HEAD)
        answers.lost()
        answers.write(BODY)

    assert written(answer).writes == []


def test_an_answer_without_body_is_not_lost_when_the_service_ends_in_the_same_turn(tmp_path: Path) -> None:
    wire = Wire()

    async def serve() -> None:
        async def application(
            _scope: object, _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]
        ) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
            await send({"type": "http.response.body", "body": b"body"})
            protocol.shutdown()

        config = ServiceConfig(
            exports=tmp_path, keys=tmp_path, model_keys=tmp_path, issuer="issuer", audience="audience"
        )
        protocol = BoundedProtocol(
            crowd=Crowd(config, lambda *_: None),
            config=uvicorn.Config(application, interface="asgi3", log_config=None, access_log=False),
            server_state=ServerState(),
            app_state={},
            _loop=asyncio.get_running_loop(),
        )
        protocol.connection_made(wire)
        protocol.data_received(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.sleep(0.05)

    asyncio.run(serve())
    assert wire.closed
    assert b"".join(wire.writes).startswith(b"HTTP/1.1 200 OK\r\n")
