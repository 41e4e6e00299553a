"""A stream that is given another one's memory goes on as that one does, whatever runs in it."""

from collections.abc import Callable
from concurrent.futures import Future

import pytest
import torch
from streams import TAGS, assert_same, bicubic, clip, small_recurrent

from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.engine.base import EngineStream, ModelEngine, StreamRequest
from streamsr.engine.engines import Engines
from streamsr.engine.mixed.blend import BlendedEngine
from streamsr.engine.mixed.compare import ComparedEngine
from streamsr.engine.mixed.passes import GROUP, RUN_UP, PassesEngine
from streamsr.engine.mixed.run_up import RunUpEngine
from streamsr.networks.facts import Colour

Made = Callable[[Engines], ModelEngine]

KINDS: dict[str, Made] = {
    "filter": lambda engines: engines.of(bicubic(Colour.LUMA)),
    "recurrent": lambda engines: engines.of(small_recurrent(2)),
    "run up": lambda engines: RunUpEngine(engines.of(small_recurrent(2))),
    "in passes": lambda engines: PassesEngine(RunUpEngine(engines.of(small_recurrent(2)))),
}
AFTER = 3, 12, GROUP + RUN_UP + 3
COUNT = GROUP + RUN_UP + 6


def stream_of(engine: ModelEngine) -> EngineStream:
    return engine.stream(StreamRequest("file", Meter(), lambda event: None))


@pytest.mark.parametrize("other", KINDS)
@pytest.mark.parametrize("one", KINDS)
def test_both_of_a_blend_go_on(one: str, other: str) -> None:
    frames = clip(COUNT, (8, 12), TAGS[0])
    with Engines(torch.device("cpu")) as engines:
        blend = BlendedEngine(KINDS[one](engines), KINDS[other](engines), 0.3)
        engine = ComparedEngine(blend, "side", labels=False)
        whole = stream_of(engine)
        expected, kept = list[Future[Frame]](), {}
        for number, frame in enumerate(frames):
            kept[number] = whole.memory(), whole.since_memory
            expected += whole.push(frame)
        expected += whole.flush()
        for after in AFTER:
            memory, again = kept[after]
            first = max(0, after - again - 2)
            going_on, got = stream_of(engine), list[Future[Frame]]()
            for number in range(first, COUNT):
                if number == after - again and memory:
                    got += going_on.restore([one.result() for one in memory])
                got += going_on.push(frames[number])
            got += going_on.flush()
            assert len(got) == COUNT - first
            assert_same(
                [future.result(timeout=60) for future in got[after - first :]],
                [future.result(timeout=60) for future in expected[after:]],
            )
