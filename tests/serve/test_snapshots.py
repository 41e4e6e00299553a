"""Still pictures over HTTP: of a real encoder, and few however many are asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import aiohttp
import av
import numpy as np
import pytest
from broadcast import OUTPUT_SIZE, Broadcast
from peers import number_in

from streamsr.core.errors import StreamsrError
from streamsr.ipc.broadcaster import Broadcaster
from streamsr.media.snapshot import snapshot
from streamsr.serve import Served, Server, snapshots

Take = Callable[[], Awaitable[bytes]]


def pictured(broadcast: Broadcast) -> Served:
    return replace(broadcast.served, snapshot=lambda: snapshot(broadcast.broadcaster))


def with_pictures(take: Take) -> Served:
    return Served(Broadcaster(lambda: None), Broadcast().status, snapshot=take)


def decoded(jpeg: bytes) -> av.VideoFrame:
    decoder = av.CodecContext.create("mjpeg", "r")
    (picture,) = [*decoder.decode(av.Packet(jpeg)), *decoder.decode(None)]
    return picture


async def test_the_picture_of_now(http: aiohttp.ClientSession) -> None:
    async with Broadcast() as broadcast, Server({"camera": pictured(broadcast)}) as server:
        numbers = []
        for _ in range(2):
            before = broadcast.encoded
            async with http.get(f"{server.url}snapshot/camera.jpg?{before}") as response:
                assert response.status == 200
                assert response.content_type == "image/jpeg"
                assert response.headers["Cache-Control"] == "no-store"
                picture = decoded(await response.read())
            assert (picture.width, picture.height) == OUTPUT_SIZE
            numbers.append(number_in(picture))
            assert numbers[-1] is not None
            assert before - 1 <= numbers[-1] <= broadcast.encoded
            await asyncio.sleep(snapshots.FRESH_S)
        assert numbers[0] < numbers[1]
        assert len(broadcast.broadcaster) == 0, "nothing is left subscribed"


async def test_the_levels_are_those_of_the_video(http: aiohttp.ClientSession) -> None:
    """White is white and black is black: the range is widened once, and once only."""
    async with (
        Broadcast() as broadcast,
        Server({"camera": pictured(broadcast)}) as server,
        http.get(f"{server.url}snapshot/camera.jpg") as response,
    ):
        picture = decoded(await response.read())
    luma = np.frombuffer(picture.planes[0], np.uint8).reshape(-1, picture.planes[0].line_size)
    band = luma[: picture.height // 6, : picture.width]  # black and white cells
    levels = np.sort(band.ravel())
    assert levels[len(levels) // 8] == pytest.approx(0, abs=4)
    assert levels[-len(levels) // 8] == pytest.approx(255, abs=4)


async def test_many_who_ask_share_one_picture(http: aiohttp.ClientSession) -> None:
    taken = 0

    async def take() -> bytes:
        nonlocal taken
        taken += 1
        await asyncio.sleep(0.05)
        return b"picture %d" % taken

    async with Server({"camera": with_pictures(take)}) as server:

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
        assert 1 <= taken <= 1 + spent_s / snapshots.FRESH_S
        assert {body for _, body in answers} == {b"picture %d" % (n + 1) for n in range(taken)}


async def test_who_leaves_does_not_take_the_picture_along() -> None:
    go, asked = asyncio.Event(), asyncio.Event()

    async def take() -> bytes:
        asked.set()
        await go.wait()
        return b"picture"

    newest = snapshots._Newest(take)
    leaving, staying = (asyncio.create_task(newest.get()) for _ in range(2))
    await asked.wait()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    go.set()
    assert await staying == b"picture"


@pytest.mark.parametrize("error", [TimeoutError(), StreamsrError("it holds none")], ids=repr)
async def test_there_is_none(http: aiohttp.ClientSession, error: Exception) -> None:
    async def take() -> bytes:
        raise error

    async with (
        Server({"camera": with_pictures(take)}) as server,
        http.get(f"{server.url}snapshot/camera.jpg") as response,
    ):
        assert (response.status, await response.text()) == (503, "there is no picture now")
        assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize("ended", [False, True])
async def test_none_comes(http: aiohttp.ClientSession, ended: bool) -> None:
    silent = Broadcast()  # never on the air
    if ended:
        silent.broadcaster.close()
    served = replace(silent.served, snapshot=lambda: snapshot(silent.broadcaster, timeout_s=0.2))
    async with (
        Server({"camera": served}) as server,
        http.get(f"{server.url}snapshot/camera.jpg") as response,
    ):
        assert response.status == 503
    assert len(silent.broadcaster) == 0


async def test_a_stream_that_comes_anew_has_new_pictures(http: aiohttp.ClientSession) -> None:
    def showing(body: bytes) -> Served:
        async def take() -> bytes:
            return body

        return with_pictures(take)

    streams = {}
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
async def test_what_is_no_picture(http: aiohttp.ClientSession, path: str) -> None:
    async with (
        Server({"camera": Broadcast().served}) as server,  # without pictures
        http.get(f"{server.url}snapshot/{path}") as response,
    ):
        assert response.status == 404


async def test_stopping_does_not_wait_for_a_picture() -> None:
    async def take() -> bytes:
        await asyncio.Event().wait()
        return b""

    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as http:
        async with Server({"camera": with_pictures(take)}) as server:
            asking = asyncio.create_task(http.get(f"{server.url}snapshot/camera.jpg"))
            await asyncio.sleep(0.1)
            begun_s = loop.time()
        assert loop.time() - begun_s < 4
        await asyncio.gather(asking, return_exceptions=True)
