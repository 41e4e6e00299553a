"""EDVR on CUDA by its ring: its plain form at every border, and none of its work done twice."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
import torch
from streams import TAGS, Bench, clip
from torch import Tensor, nn

from streamsr.core.frame import Frame
from streamsr.engine.colour import network_input, network_output
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.engine.cuda.host_device import MakeDevice
from streamsr.networks.contract import Rows
from streamsr.networks.edvr import EDVR
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.sliding import SlidingWindow
from streamsr.networks.window import mirrored_indices

SMALL = {
    "num_feat": 8,
    "deformable_groups": 2,
    "num_extract_block": 1,
    "num_reconstruct_block": 1,
}
FORMS: dict[str, dict[str, int | bool]] = {
    "m": {},
    "seven": {"num_frame": 7},
    "without-tsa": {"with_tsa": False},
    "predeblur": {"with_predeblur": True},
    "hr-in": {"with_predeblur": True, "hr_in": True},
}


class Counted(EDVR):
    """Counts the rows of each part, and the batches of alignments."""

    def __init__(self, **options: int | bool) -> None:
        super().__init__(**{**SMALL, **options})  # type: ignore[arg-type]
        self.rows: Counter[str] = Counter()
        self.aligned: list[int] = []  # rows of each batch
        self.restored: list[int] = []

    def features(self, frames: Tensor) -> Rows:
        self.rows["features"] += len(frames)
        return super().features(frames)

    def reference(self, features: Rows) -> Rows:
        self.rows["reference"] += len(features[0])
        return super().reference(features)

    def align(self, frames: Rows, references: Rows) -> Tensor:
        self.rows["align"] += len(frames[0])
        self.aligned.append(len(frames[0]))
        return super().align(frames, references)

    def restore(self, aligned: Sequence[Tensor], pixels: Tensor) -> Tensor:
        self.rows["restore"] += len(pixels)
        self.restored.append(len(pixels))
        return super().restore(aligned, pixels)


def made_of(**options: int | bool) -> SlidingWindow:
    torch.manual_seed(4)
    network = Counted(**options)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    network.requires_grad_(False).eval()
    window, hr_in = network.num_frame, network.hr_in
    facts = Facts(1 if hr_in else 4, window, window // 2, Colour.RGB, 16 if hr_in else 4)
    return SlidingWindow(network, facts)


def smooth(count: int, size: tuple[int, int] = (18, 30), seed: int = 0) -> list[Frame]:
    """Frames so alike that none is a cut: levels that drift a little."""
    frames = clip(count, size, TAGS[0], seed=seed)
    return [
        replace(
            frame, planes=tuple(96 + plane // 8 + 2 * (frame.pts % 7) for plane in frame.planes)
        )
        for frame in frames
    ]


def plain(model: SlidingWindow, frames: Sequence[Frame]) -> list[Frame]:
    """What the network's forward pass makes of the mirrored windows of a clip."""
    facts, made = model.facts, []
    pixels = [network_input(frame, facts.colour, torch.device("cpu")) for frame in frames]
    height, width = pixels[0].shape[1:]
    down, across = (-side % facts.multiple for side in (height, width))
    padded = [nn.functional.pad(p[None], (0, across, 0, down), mode="replicate") for p in pixels]
    for centre, frame in enumerate(frames):
        places = mirrored_indices(centre, facts.window, len(frames), facts.lookahead)
        with torch.inference_mode():
            output = model.network(torch.stack([padded[place][0] for place in places])[None])[0]
        output = output[:, : height * facts.scale, : width * facts.scale]
        planes = network_output(output, frame, facts.colour)
        made.append(Frame(planes, frame.colour, frame.pts, frame.time_base))
    return made


def assert_close(made: Sequence[Frame], wanted: Sequence[Frame]) -> None:
    assert [frame.pts for frame in made] == [frame.pts for frame in wanted]
    for one, other in zip(made, wanted, strict=True):
        for plane, expected in zip(one.planes, other.planes, strict=True):
            assert np.abs(plane.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [1, 4, 9])
def test_a_clip_is_that_of_the_plain_form(host_device: MakeDevice, form: str, count: int) -> None:
    model = made_of(**FORMS[form])
    frames = smooth(count)
    with CudaEngine(model, host_device(count), max_batch=1) as engine:
        made = Bench(engine).run(frames)
    assert_close(made, plain(model, frames))


@pytest.mark.parametrize("form", ["m", "seven"])
def test_after_every_reset_it_is_that_of_the_plain_form(host_device: MakeDevice, form: str) -> None:
    """Clips of all lengths through one stream, so that each begins at another place of the ring."""
    model = made_of(**FORMS[form])
    with CudaEngine(model, host_device(3)) as engine:
        bench = Bench(engine)
        for number, count in enumerate((5, 3, 8, 1, 6)):
            frames = smooth(count, seed=number)
            assert_close(bench.run(frames), plain(model, frames))


def test_streams_share_batches_and_keep_their_own(host_device: MakeDevice) -> None:
    model = made_of()
    network = model.network
    assert isinstance(network, Counted)
    clips = [smooth(9, (16, 20), n) for n in range(3)]
    with CudaEngine(model, host_device(2), max_wait_s=20.0, max_batch=3) as engine:
        benches = [Bench(engine) for _ in clips]
        done: list[list[Future[Frame]]] = [[] for _ in clips]
        for row in zip(*clips, strict=True):
            for number, frame in enumerate(row):
                done[number] += benches[number].stream.push(frame)
        engine.close()  # what waits for others is run
        for frames, futures in zip(clips, done, strict=True):
            wanted = plain(model, frames)[: len(futures)]
            assert_close([future.result(60) for future in futures], wanted)
    assert len(done[0]) == 7
    assert max(network.restored) == 3


def test_no_work_is_done_twice_and_five_alignments_are_one_batch(host_device: MakeDevice) -> None:
    model = made_of()
    network = model.network
    assert isinstance(network, Counted)
    with CudaEngine(model, host_device(), max_batch=1) as engine:
        bench = Bench(engine)
        for frame in smooth(9, (16, 20)):
            for future in bench.stream.push(frame):
                future.result(60)
        bench.run([])  # graphs are there of all counts but those of other chains' ends
        network.rows.clear()
        network.aligned.clear()
        futures = [f for frame in smooth(25, (16, 20)) for f in bench.stream.push(frame)]
        for future in futures:
            future.result(60)
    assert network.rows["features"] == 25
    assert network.rows["restore"] == 23
    assert network.rows["reference"] == 25
    near = sum(abs(frame - reference) <= 2 for frame in range(25) for reference in range(25))
    assert network.rows["align"] == near + 3  # the first two windows mirror three of theirs
    assert set(network.aligned[-8:]) == {1, 4}  # what the newest frame completes, and what is ahead


def test_most_work_is_done_before_the_newest_frame_comes(host_device: MakeDevice) -> None:
    """After it: its features, one alignment of five, what remains."""
    order: list[str] = []
    model = made_of()
    network = model.network
    assert isinstance(network, Counted)
    noted: dict[str, Callable[..., object]] = {}
    for name in ("features", "reference", "align", "restore"):
        noted[name] = getattr(network, name)

        def note(*args: object, name: str = name) -> object:
            rows = args[0] if isinstance(args[0], Tensor) else args[0][0]  # type: ignore[index]
            order.append(f"{name} {len(rows)}" if name == "align" else name)
            return noted[name](*args)

        setattr(network, name, note)
    with CudaEngine(model, host_device(), max_batch=1) as engine:
        bench = Bench(engine)
        frames = smooth(12, (16, 20))
        for frame in frames[:11]:
            for future in bench.stream.push(frame):
                future.result(60)
        engine_is_idle(engine)
        order.clear()
        (future,) = bench.stream.push(frames[11])
        future.result(60)
        engine_is_idle(engine)
    assert order[:5] == ["features", "align 1", "restore", "reference", "align 4"]


def engine_is_idle(engine: CudaEngine) -> None:
    """Waits until the dispatcher has launched all there is: a window of another size follows."""
    Bench(engine).run(clip(1, (8, 8), TAGS[0]))
