"""The decisions of a controller that Ray is slow to confirm, or does not, with many that wait."""

import asyncio
import threading
from collections.abc import Callable
from time import monotonic

import pytest

from streamsr.core.errors import UserError
from streamsr.fleet.cluster.decisions import Decisions
from streamsr.fleet.controller import GRACE_S, Controller
from streamsr.fleet.messages import CameraReport, HostReport, Orders, Wanted, WantedCamera

HOSTS = 50


def fleet(hosts: int = HOSTS) -> Controller:
    """A controller whose hosts are there, and get a camera each with their next report."""
    cameras = tuple(WantedCamera(f"cam-{n}", {"model": {"name": "bicubic"}}) for n in range(hosts))
    controller = Controller(Wanted(1, cameras), monotonic() - 3.1)
    for ago_s in (3.1, 1.0):  # it is still for the length of a lease
        for number in range(hosts):
            controller.report(report(number), monotonic() - ago_s)
    return controller


def report(number: int, *cameras: CameraReport) -> HostReport:
    return HostReport(f"host-{number}", 1, monotonic(), {}, "kind", 2000.0, 0.0, cameras)


def running(number: int, orders: Orders) -> HostReport:
    cameras = (CameraReport(camera.name, camera.epoch, "live") for camera in orders.cameras)
    return report(number, *cameras)


class Ray:
    """Says that this is the controller, unless it is told otherwise."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.asked = 0
        self.says = True
        self.kept: list[bytes] = []

    def is_controller(self) -> bool:
        self.asked += 1
        self.answers.wait(30)
        return self.says


@pytest.fixture
def ray() -> Ray:
    return Ray()


async def test_what_waits_is_decided_by_one_question_and_kept_once(ray: Ray) -> None:
    taking = Decisions(fleet(), ray.is_controller, ray.kept.append)
    answers = await asyncio.gather(*(taking.report(report(n)) for n in range(HOSTS)))
    assert sum(len(orders.cameras) for orders in answers) == HOSTS
    assert ray.asked == 1
    assert len(ray.kept) == 1


async def test_while_ray_does_not_answer_every_host_is_answered_in_time(ray: Ray) -> None:
    """For as long as nobody else may decide; then none is."""
    taking = Decisions(fleet(), ray.is_controller, ray.kept.append)
    orders = await asyncio.gather(*(taking.report(report(n)) for n in range(HOSTS)))
    ray.answers.clear()
    try:
        slowest = 0.0
        for _ in range(2):
            began = monotonic()
            asked = asyncio.gather(*(taking.report(running(n, orders[n])) for n in range(HOSTS)))
            await taking.tick()
            again = await asked
            slowest = max(slowest, monotonic() - began)
            assert [got.cameras for got in again] == [got.cameras for got in orders]
        assert slowest < 5, "a host waits for 1 s, here on a busy machine"
        assert ray.asked == 2, "it is asked once at a time"
        with pytest.raises(ConnectionError, match="Ray does not answer"):
            await taking.steer(lambda now: None)
        await asyncio.sleep(GRACE_S)
        with pytest.raises(ConnectionError, match="Ray does not answer"):
            await taking.report(running(0, orders[0]))
    finally:
        ray.answers.set()
    await asyncio.sleep(0.1)
    assert (await taking.report(running(0, orders[0]))).cameras == orders[0].cameras


async def test_one_that_is_not_the_controller_decides_nothing(ray: Ray) -> None:
    controller = fleet()
    taking = Decisions(controller, ray.is_controller, ray.kept.append)
    ray.says = False
    changes = controller.changes
    with pytest.raises(ConnectionError, match="another process is the controller"):
        await taking.report(report(0))
    with pytest.raises(ConnectionError, match="another process is the controller"):
        await taking.steer(lambda now: controller.drain("host-1"))
    assert (controller.changes, ray.kept) == (changes, [])


@pytest.mark.parametrize("overtaken", [False, True])
async def test_a_question_that_was_asked_again_is_answered_with_nothing(
    ray: Ray, overtaken: bool
) -> None:
    taking = Decisions(fleet(), ray.is_controller, ray.kept.append)
    early, late = report(0), report(0)
    asked = (late, early) if overtaken else (early, late)
    answers = await asyncio.gather(*(taking.report(one) for one in asked))
    got = {one.sent: orders.cameras for one, orders in zip(asked, answers, strict=True)}
    assert got[early.sent] == ()
    assert [camera.name for camera in got[late.sent]] == ["cam-0"]


@pytest.mark.parametrize("error", [OSError("no room"), RuntimeError("no Ray")])
async def test_what_cannot_be_kept_is_handed_out_to_nobody(ray: Ray, error: Exception) -> None:
    def keep(data: bytes) -> None:
        raise error

    taking = Decisions(fleet(), ray.is_controller, keep)
    with pytest.raises(type(error)):
        await taking.report(report(0))


async def test_who_asks_wrongly_is_told_and_the_others_are_answered(ray: Ray) -> None:
    controller = fleet()
    taking = Decisions(controller, ray.is_controller, ray.kept.append)
    wrong: Callable[[float], None] = lambda now: controller.drain("host-x")  # noqa: E731
    told, orders = await asyncio.gather(
        taking.steer(wrong), taking.report(report(0)), return_exceptions=True
    )
    assert isinstance(told, UserError)
    assert isinstance(orders, Orders)
    assert orders.cameras
