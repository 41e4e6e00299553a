"""Several upscalers on one engine: the models loaded once, each a stream of its own."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peers.waiting import until

import streamsr
from streamsr.engine import engines


def clip(seed: int, count: int = 6) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, (24, 32, 3), dtype=np.uint8) for _ in range(count)]


def test_a_model_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    load = engines.load_model

    def counted(entry: Any, *rest: Any) -> Any:
        loaded.append(entry.name)
        return load(entry, *rest)

    monkeypatch.setattr(engines, "load_model", counted)
    with streamsr.Engine("cpu") as engine:
        first = streamsr.Upscaler("bicubic", engine=engine)
        second, third = engine.stream("bicubic"), engine.stream("lanczos", scale=2)
        assert first(clip(0)[0]).shape == second(clip(0)[0]).shape == (96, 128, 3)
        assert third(clip(0)[0]).shape == (48, 64, 3)
    assert loaded == ["bicubic", "lanczos"]


def test_streams_in_threads_do_not_meet(waiting: streamsr.Model) -> None:
    expected, made = {}, {}
    with streamsr.Upscaler(waiting.folder, device="cpu") as alone:
        for seed in range(3):
            expected[seed] = list(alone.map(clip(seed)))

    def work(engine: streamsr.Engine, seed: int) -> None:
        with engine.stream(waiting.folder) as upscaler:
            made[seed] = [m for image in clip(seed) for m in upscaler.push(image)]
            made[seed] += upscaler.flush()

    with streamsr.Engine("cpu") as engine:
        threads = [threading.Thread(target=work, args=(engine, seed)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    for seed in range(3):
        assert all(np.array_equal(a, b) for a, b in zip(made[seed], expected[seed], strict=True))


def test_closing_a_stream_leaves_the_others(waiting: streamsr.Model) -> None:
    with streamsr.Engine("cpu") as engine:
        first, second = engine.stream(waiting.folder), engine.stream(waiting.folder)
        first.push(clip(0)[0])
        first.close()
        assert first.closed
        assert not engine.closed
        assert len(list(second.map(clip(0)))) == 6
    engine.close()
    assert second.closed
    for act in (lambda: second(clip(0)[0]), lambda: engine.stream("bicubic")):
        with pytest.raises(streamsr.InputError, match="is closed"):
            act()


@pytest.mark.parametrize("model", ["bicubic", "fast"])
async def test_threads_end_with_an_upscaler_that_nobody_has_closed(model: str) -> None:
    before = set(threading.enumerate())
    upscaler = streamsr.Upscaler(model, device="cpu")
    assert upscaler(clip(0)[0]).shape == (96, 128, 3)
    del upscaler

    def gone() -> bool:
        gc.collect()
        return not any("streamsr" in t.name for t in {*threading.enumerate()} - before)

    await until(gone)


async def test_an_engine_is_closed_in_a_loop_too() -> None:
    async with streamsr.Engine("cpu") as engine, engine.stream("bicubic") as upscaler:
        both = await asyncio.gather(*(upscaler.aupscale(image) for image in clip(0, 2)))
        assert [one.shape for one in both] == [(96, 128, 3)] * 2
    assert engine.closed


def test_an_engine_says_what_it_is() -> None:
    with streamsr.Engine(torch.device("cpu")) as engine:
        assert repr(engine) == "<streamsr.Engine on cpu>"
        assert engine.stream("bicubic").device == engine.device == torch.device("cpu")
        assert engine.workers >= 1
    assert repr(engine) == "<streamsr.Engine on cpu, closed>"


def test_an_engine_knows_folders_of_models(waiting: streamsr.Model) -> None:
    folder = waiting.folder.parent
    with streamsr.Engine("cpu", folders=folder) as engine:
        assert engine.stream("tiny").entry.folder == Path(waiting.folder)
    names = [model.name for model in streamsr.list_models(folder)]
    assert "tiny" in names
    assert names == sorted(names)
    with streamsr.Upscaler("tiny", device="cpu", folders=[str(folder)]) as upscaler:
        assert (upscaler.model, upscaler.scale, upscaler.lookahead) == ("tiny", 4, 1)


@pytest.mark.parametrize("device", ["cuda:7", "gpu"])
def test_a_wrong_device_is_named(device: str) -> None:
    with pytest.raises(streamsr.UserError, match=f"device: got '{device}'"):
        streamsr.Engine(device)
    with (
        streamsr.Engine("cpu") as engine,
        pytest.raises(streamsr.InputError, match="allowed is that of the engine, 'cpu'"),
    ):
        streamsr.Upscaler("bicubic", engine=engine, device=device)


class Ramp:
    """A source of grey frames, which goes on for ``count`` of them."""

    rate = 25.0

    def __init__(self, count: int, *, live: bool = False) -> None:
        self.count, self.live = count, live

    def frames(self, stop: threading.Event) -> Iterator[NDArray[np.uint8]]:
        for number in range(self.count):
            if self.live and stop.wait(0.04):
                return
            yield np.full((24, 32), number % 200, np.uint8)


class Kept:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.images: list[NDArray[np.uint8]] = []

    def write(self, image: NDArray[np.uint8], time_s: float) -> None:
        self.images.append(image)

    def close(self) -> None: ...


@pytest.mark.parametrize("more", [{}, {"hls": {"folder": "hls"}}], ids=["alone", "node"])
async def test_a_pipeline_runs_on_an_engine_beside_an_upscaler(
    more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"input": {"url": "ramp://"}, "model": {"name": "bicubic"}, **more}
    loads, load = [], engines.load_model
    monkeypatch.setattr(engines, "load_model", lambda *a: loads.append(a[0].name) or load(*a))
    with streamsr.register_source("ramp", lambda _: Ramp(8)):
        async with streamsr.Engine("cpu") as engine:
            upscaler, sink = engine.stream("bicubic"), Kept()
            async with streamsr.open_pipeline(settings, sinks=[sink], engine=engine) as pipeline:
                await pipeline.run()
            assert len(sink.images) == 8
            assert upscaler(np.zeros((24, 32), np.uint8)).shape == (96, 128)  # it is open still
    assert loads.count("bicubic") == 1


@pytest.mark.parametrize("more", [{}, {"hls": {"folder": "hls"}}], ids=["alone", "node"])
async def test_a_pipeline_ends_where_its_engine_is_closed(
    more: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"input": {"url": "ramp://"}, "model": {"name": "bicubic"}, **more}
    with streamsr.register_source("ramp", lambda _: Ramp(10**6, live=True)):
        engine, sink = streamsr.Engine("cpu"), Kept()
        async with streamsr.open_pipeline(settings, sinks=[sink], engine=engine) as pipeline:
            running = asyncio.create_task(pipeline.run())
            await until(lambda: bool(sink.images))
            await asyncio.to_thread(engine.close)
            async with asyncio.timeout(20):
                with pytest.raises(streamsr.InputError, match="the engine is closed"):
                    await running
        assert "Traceback" not in caplog.text
        with pytest.raises(streamsr.InputError, match="the engine is closed"):
            async with streamsr.open_pipeline(settings, engine=engine):
                pass


async def test_a_pipeline_is_of_the_device_of_its_engine() -> None:
    settings = {"input": {"url": "demo"}, "model": {"device": "cpu"}}
    with streamsr.Engine("cpu") as engine:
        engine.device = torch.device("cuda:1")  # none is needed to be refused
        with pytest.raises(streamsr.ConfigError, match=r"model\.device: got 'cpu', allowed is"):
            async with streamsr.open_pipeline(settings, engine=engine):
                pass
    with pytest.raises(streamsr.InputError, match=r"engine: got 'cpu', allowed is"):
        async with streamsr.open_pipeline(settings, engine="cpu"):  # type: ignore[arg-type]
            pass
