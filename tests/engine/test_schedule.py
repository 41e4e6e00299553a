"""The engine launches what the simulation of tests/engine/simulation.py launches, wait by wait.

What that finds of hazards and of overlap is so of the engine's own order.
"""

from collections.abc import Callable
from itertools import count

import pytest
from simulation import Simulation
from streams import Bench, Centre, Counting, centre_model, counting_model, flat, small_edvr

from streamsr.engine.cuda.device import DeviceEvent, DeviceStream
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.engine.cuda.host_device import HostDevice
from streamsr.engine.cuda.slots import Lane, Operation
from streamsr.networks.sliding import SlidingWindow

FRAMES = 40
SLOTS = 4


class Told(HostDevice):
    """Notes what each lane is told; an event is of the slot and the lane that it was made for."""

    def __init__(self) -> None:
        super().__init__()
        self.launched: dict[Lane, list[Operation]] = {lane: [] for lane in Lane}
        self.unrecorded: list[Lane] = []  # work that nothing waits for
        self._lanes = iter(Lane)  # in which order the engine asks for streams
        self._numbers = count()
        self._events: dict[int, tuple[int, Lane]] = {}

    def stream(self) -> DeviceStream:
        return Noting(super().stream(), next(self._lanes), self)

    def event(self) -> DeviceEvent:
        event, number = super().event(), next(self._numbers)
        self._events[id(event)] = number // len(Lane), list(Lane)[number % len(Lane)]
        return event

    def of(self, event: DeviceEvent) -> tuple[int, Lane]:
        return self._events[id(event)]


class Noting:
    """A lane's stream."""

    def __init__(self, stream: DeviceStream, lane: Lane, told: Told) -> None:
        self._stream, self._lane, self._told = stream, lane, told
        self._waits: list[tuple[int, Lane]] = []

    def wait_event(self, event: DeviceEvent) -> None:
        self._waits.append(self._told.of(event))
        self._stream.wait_event(event)

    def launch(self, work: Callable[[], None]) -> None:
        self._stream.launch(work)

    def record_event(self, event: DeviceEvent) -> None:
        slot, lane = self._told.of(event)
        assert lane is self._lane
        operation = Operation(lane, slot, tuple(self._waits))
        self._told.launched[lane].append(operation)
        self._waits = []
        self._stream.record_event(event)

    def synchronize(self) -> None:
        self._stream.synchronize()


MODELS = {
    "one frame": lambda: centre_model(Centre(), 1),
    "three frames": lambda: centre_model(Centre(), 3),
    "five frames, streaming": small_edvr,
    "recurrent": lambda: counting_model(Counting()),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_engine_launches_what_is_simulated(name: str) -> None:
    model: SlidingWindow = MODELS[name]()
    told = Told()
    with CudaEngine(model, told, slots=SLOTS, max_batch=1) as engine:
        Bench(engine).run([flat(60, number, size=(16, 20)) for number in range(FRAMES)])
    window = 2 * model.facts.lookahead + 1  # a recurrent network's needs no frame to come
    simulated = Simulation(SLOTS, FRAMES, lambda stage: 0.0, window=window).run()
    assert told.launched == simulated.launched
    assert [len(operations) for operations in told.launched.values()] == [FRAMES] * len(Lane)
