"""Several upscalers on one engine: the models loaded once, each a stream of its own."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

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
