"""The engine on a real GPU. Everything here skips without one.

STREAMSR_REQUIRE_CUDA=1 makes it fail instead, for a machine that is to prove it.
"""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from streams import (
    MODELS,
    TAGS,
    Bench,
    Counting,
    assert_same,
    clip,
    counting_model,
    flat,
    of_cpu,
    small_edvr,
    small_recurrent,
)
from test_kernels import noise, read, written
from torch import Tensor, nn

from streamsr.engine.colour import TorchConverter
from streamsr.engine.cuda.device import CudaDevice
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.engine.cuda.kernels import KernelConverter, converter_on
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.resample import resize
from streamsr.networks.sliding import SlidingWindow


@pytest.fixture(autouse=True)
def whole_floats() -> Iterator[None]:
    """Convolutions in float32 as on a CPU, not in TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def on(device: torch.device, model: SlidingWindow) -> SlidingWindow:
    return SlidingWindow(model.network.to(device), model.facts)


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("colour", list(Colour))
def test_kernels_do_what_torch_does(cuda: torch.device, colour: Colour, dtype: torch.dtype) -> None:
    pytest.importorskip("cupy", reason="CuPy is not installed: pip install cupy-cuda13x")
    stream = torch.cuda.Stream(cuda)
    for number, tags in enumerate(TAGS):
        frame = noise((37, 61), tags, seed=number)
        converter = converter_on(stream, colour, dtype)
        assert isinstance(converter, KernelConverter)
        with torch.cuda.stream(stream):
            pixels = read(converter, frame, colour, dtype=dtype, device=cuda).cpu()
        expected = read(TorchConverter(colour), frame, colour)
        assert (pixels.float() - expected).abs().max() < (1e-5 if dtype == torch.float32 else 1e-3)
        output = resize(expected, 4)
        with torch.cuda.stream(stream):
            planes, bad = written(converter, output.to(cuda), frame, 4)
        assert bad == 0
        wanted, _ = written(TorchConverter(colour), output, frame, 4)
        for plane, other in zip(planes, wanted, strict=True):
            assert (plane.cpu().int() - other.int()).abs().max() <= 1


@pytest.mark.cuda
@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_frames_are_the_cpus_within_a_level(cuda: torch.device, name: str, graphs: bool) -> None:
    for tags in TAGS:
        frames = clip(12, (37, 61), tags)
        expected = of_cpu(MODELS[name](), frames)
        with CudaEngine(on(cuda, MODELS[name]()), CudaDevice(cuda, graphs=graphs)) as engine:
            assert_same(Bench(engine).run(frames), expected, tolerance=1)


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_close(cuda: torch.device, dtype: torch.dtype) -> None:
    frames = clip(8, (36, 1500), TAGS[0])  # columns beyond what half precision can count
    expected = of_cpu(small_edvr(), frames)
    network = small_edvr().network.to(dtype)
    model = on(cuda, SlidingWindow(network, small_edvr().facts))
    with CudaEngine(model, CudaDevice(cuda)) as engine:
        made = Bench(engine).run(frames)
    for one, other in zip(made, expected, strict=True):
        difference = np.abs(one.planes[0].astype(int) - other.planes[0].astype(int))
        assert difference.mean() < 1
        assert difference[:, 4096:].mean() < 1.5 * difference[:, :1024].mean() + 0.05


@pytest.mark.cuda
@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_allocated_or_waited_for_by_frame(cuda_kernels: torch.device, name: str) -> None:
    cuda = cuda_kernels
    with CudaEngine(on(cuda, MODELS[name]()), CudaDevice(cuda), max_batch=1) as engine:
        bench = Bench(engine)
        bench.run(clip(12, (40, 64), TAGS[0]))
        before = torch.cuda.memory_stats(cuda)["allocation.all.allocated"]
        torch.cuda.set_sync_debug_mode("error")
        try:
            bench.run(clip(100, (40, 64), TAGS[0]))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert torch.cuda.memory_stats(cuda)["allocation.all.allocated"] == before
        assert bench.meter["failed"] == 0


@pytest.mark.cuda
def test_a_recurrent_network_is_captured(
    cuda: torch.device, caplog: pytest.LogCaptureFixture
) -> None:
    frames = clip(6, (37, 61), TAGS[0])
    with CudaEngine(on(cuda, small_recurrent()), CudaDevice(cuda)) as engine:
        made = Bench(engine).run(frames)
    assert_same(made, of_cpu(small_recurrent(), frames), tolerance=1)
    assert "runs without CUDA graphs" not in caplog.text


@pytest.mark.cuda
@pytest.mark.parametrize("graphs", [True, False])
def test_recurrent_streams_keep_to_their_own_memory(cuda: torch.device, graphs: bool) -> None:
    """Together in batches; across a cut, a frame that is not finite, and changes of size."""
    changing = [flat(60, n, discontinuous=n == 4, size=(18 + 2 * (n > 7), 32)) for n in range(12)]
    clips = [
        changing,
        [flat(220 if n == 3 else 120, n) for n in range(12)],
        [flat(90 + n, n) for n in range(12)],
    ]
    network = Counting()
    model = on(cuda, counting_model(network))
    with CudaEngine(model, CudaDevice(cuda, graphs=graphs), max_wait_s=0.02) as engine:
        benches = [Bench(engine) for _ in clips]
        futures = [
            [bench.stream.push(frame)[0] for bench, frame in zip(benches, together, strict=True)]
            for together in zip(*clips, strict=True)
        ]
        made = [[future.result(60) for future in stream] for stream in zip(*futures, strict=True)]
    assert max(network.batches) > 1
    assert [bench.meter["failed"] for bench in benches] == [0, 1, 0]
    for frames, upscaled in zip(clips, made, strict=True):
        assert_same(upscaled, of_cpu(counting_model(Counting()), frames))


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["edvr", "recurrent"])
def test_device_memory_does_not_grow(cuda: torch.device, name: str) -> None:
    frames = clip(25, (40, 64), TAGS[0])
    with CudaEngine(on(cuda, MODELS[name]()), CudaDevice(cuda)) as engine:
        benches = [Bench(engine) for _ in range(2)]
        used = []
        for _ in range(100):  # 5,000 frames
            for bench in benches:
                bench.run(frames)
            free, total = torch.cuda.mem_get_info(cuda)
            used.append(total - free)
    assert max(used[50:]) == max(used[10:50])


@pytest.mark.cuda
def test_a_network_that_cannot_be_captured_runs_eagerly(
    cuda: torch.device, caplog: pytest.LogCaptureFixture
) -> None:
    class Looking(nn.Module):
        """Looks at its pixels, which a graph cannot."""

        def forward(self, x: Tensor) -> Tensor:
            scale = 1.0 if float(x.max()) >= 0 else 0.0
            return scale * x[:, 0].repeat_interleave(2, 2).repeat_interleave(2, 3)

    frames = clip(6, (18, 32), TAGS[0])
    facts = Facts(2, 1, 0, Colour.LUMA)
    with CudaEngine(SlidingWindow(Looking().to(cuda), facts), CudaDevice(cuda)) as engine:
        made = Bench(engine).run(frames)
    assert_same(made, of_cpu(SlidingWindow(Looking(), facts), frames), tolerance=1)
    assert caplog.text.count("runs without CUDA graphs") == 1


@pytest.mark.cuda
def test_a_memory_too_small_is_survived(cuda: torch.device) -> None:
    """Memory for one window of the large frame at most: batches shrink, or frames are bicubic."""
    frames = clip(6, (400, 640), TAGS[0])
    _, total = torch.cuda.mem_get_info(cuda)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((300 << 20) / total, cuda)
    try:
        with CudaEngine(on(cuda, small_edvr()), CudaDevice(cuda)) as engine:
            made = Bench(engine).run(frames)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, cuda)
    assert [frame.pts for frame in made] == [frame.pts for frame in frames]
    assert {frame.height for frame in made} == {1600}
