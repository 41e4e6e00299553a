"""Snapshots over HTTP: few are taken, however many are asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import aiohttp
import av
import pytest
from broadcast import OUTPUT_SIZE, Broadcast
from peers import number_in
from peers.waiting import until

from streamsr.core.deadline import Deadline
from streamsr.core.errors import StreamsrError
from streamsr.ipc.broadcaster import Broadcaster
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.app import Server
from streamsr.serve.served import Served

Take = Callable[[], Awaitable[bytes]]


def with_snapshots(take: Take) -> Served:
    return Served(Broadcaster(lambda tracks: None), Broadcast().status, snapshot=take)


def decoded(jpeg: bytes) -> av.VideoFrame:
    decoder = av.CodecContext.create("mjpeg", "r")
    (frame,) = [*decoder.decode(av.Packet(jpeg)), *decoder.decode(None)]
    return frame


async def test_the_frame_of_now(http: aiohttp.ClientSession) -> None:
    limits = ServerLimits(snapshot_s=0)
    async with Broadcast() as broadcast:
        served = replace(broadcast.served, snapshot=broadcast.snapshot)
        async with Server({"camera": served}, limits=limits) as server:
            for _ in range(2):
                before = broadcast.encoded
                async with http.get(f"{server.url}snapshot/camera.jpg?{before}") as response:
                    assert response.status == 200
                    assert response.content_type == "image/jpeg"
                    assert response.headers["Cache-Control"] == "no-store"
                    frame = decoded(await response.read())
                assert (frame.width, frame.height) == OUTPUT_SIZE
                number = number_in(frame)
                assert number is not None
                assert before - 1 <= number <= broadcast.encoded
                await until(lambda before=before: broadcast.encoded > before + 1)


async def test_many_who_ask_share_one_snapshot(http: aiohttp.ClientSession) -> None:
    taken, fresh_s = 0, 0.2

    async def take() -> bytes:
        nonlocal taken
        taken += 1
        await asyncio.sleep(0.01)
        return b"snapshot %d" % taken

    limits = ServerLimits(snapshot_s=fresh_s)
    async with Server({"camera": with_snapshots(take)}, limits=limits) as server:

        async def ask() -> tuple[int, bytes]:
            async with http.get(f"{server.url}snapshot/camera.jpg") as response:
                return response.status, await response.read()

        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        answers = [
            answer
            for _ in range(5)
            for answer in await asyncio.gather(*(ask() for _ in range(100)))
        ]
        spent_s = loop.time() - begun_s
        assert {status for status, _ in answers} == {200}
        assert 1 <= taken <= 1 + spent_s / fresh_s
        assert {body for _, body in answers} == {b"snapshot %d" % (n + 1) for n in range(taken)}


async def test_one_who_leaves_does_not_cancel_it_for_others(http: aiohttp.ClientSession) -> None:
    go, taking = asyncio.Event(), 0

    async def take() -> bytes:
        nonlocal taking
        taking += 1
        await go.wait()
        return b"snapshot"

    async with Server({"camera": with_snapshots(take)}) as server:

        async def ask() -> bytes:
            async with http.get(f"{server.url}snapshot/camera.jpg") as response:
                return await response.read()

        leaving, staying = asyncio.create_task(ask()), asyncio.create_task(ask())
        await until(lambda: taking)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        go.set()
        assert await staying == b"snapshot"
        assert taking == 1


@pytest.mark.parametrize("error", [TimeoutError(), StreamsrError("it holds none")], ids=repr)
async def test_there_is_none(http: aiohttp.ClientSession, error: Exception) -> None:
    async def take() -> bytes:
        raise error

    async with (
        Server({"camera": with_snapshots(take)}) as server,
        http.get(f"{server.url}snapshot/camera.jpg") as response,
    ):
        assert (response.status, await response.text()) == (503, "there is no frame now")
        assert int(response.headers["Retry-After"]) > 0


async def test_a_stream_that_is_replaced_has_new_snapshots(http: aiohttp.ClientSession) -> None:
    def showing(body: bytes) -> Served:
        async def take() -> bytes:
            return body

        return with_snapshots(take)

    streams: dict[str, Served] = {}
    async with Server(streams) as server:
        for body in (b"first", b"second"):
            streams["camera"] = showing(body)
            async with http.get(f"{server.url}snapshot/camera.jpg") as response:
                assert await response.read() == body
        del streams["camera"]
        async with http.get(f"{server.url}snapshot/camera.jpg") as response:
            assert response.status == 404


@pytest.mark.parametrize(
    "path", ["camera.jpg", "camera.png", "nothing.jpg", "camera", "camera.jpg/x", "..%2fcamera.jpg"]
)
async def test_what_is_no_snapshot(http: aiohttp.ClientSession, path: str) -> None:
    async with (
        Server({"camera": Broadcast().served}) as server,  # without snapshots
        http.get(f"{server.url}snapshot/{path}") as response,
    ):
        assert response.status == 404


async def test_stopping_does_not_wait_for_a_snapshot(http: aiohttp.ClientSession) -> None:
    taking = asyncio.Event()

    async def take() -> bytes:
        taking.set()
        await asyncio.Event().wait()
        return b""

    loop = asyncio.get_running_loop()
    async with Server({"camera": with_snapshots(take)}) as server:
        asking = asyncio.create_task(http.get(f"{server.url}snapshot/camera.jpg"))
        await taking.wait()
        begun_s = loop.time()
        await server.close(Deadline.after(4))
        assert loop.time() - begun_s < 2  # it is cancelled, not waited for
        await asyncio.gather(asking, return_exceptions=True)
