"""The decisions of a controller, taken for all that wait at a time: Ray is asked whether this is
the controller, and what was decided is kept, once for all of them. Without Ray itself.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from streamsr.core.redact import redact
from streamsr.fleet.confirmation import ASK_S, Confirmation
from streamsr.fleet.controller import Controller
from streamsr.fleet.messages import HostReport, Orders

__all__ = ["Decisions"]

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Waiting:
    decision: Callable[[float], Any]
    answer: asyncio.Future[Any]
    steers: bool  # it changes more than leases, and may not be lost
    report: HostReport | None = None


class Decisions:
    """All calls are of one event loop. Each raises ConnectionError where this is not the
    controller, as far as it can know, and what ``keep`` does where nothing can be kept."""

    def __init__(
        self,
        controller: Controller,
        is_controller: Callable[[], bool],
        keep: Callable[[bytes], None],
    ) -> None:
        """Both calls block, ``is_controller`` for as long as Ray cannot be asked."""
        self._controller = controller
        self._is_controller = is_controller
        self._keep = keep
        self._saved = controller.changes
        self._waiting: list[_Waiting] = []
        self._working: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[bool] | None = None  # Ray; one question at a time
        self._asked = float("-inf")  # monotonic
        self._confirmation = Confirmation(controller)
        self._ended = False

    async def report(self, report: HostReport) -> Orders:
        """Answers a host; with nothing where it has asked again meanwhile."""
        for other in tuple(self._waiting):
            if other.report is None or other.report.host != report.host:
                continue
            if _stamp(other.report) > _stamp(report):
                return self._nothing()
            self._waiting.remove(other)
            if not other.answer.done():
                other.answer.set_result(self._nothing())
        orders: Orders = await self._decided(
            lambda now: self._controller.report(report, now), steers=False, report=report
        )
        return orders

    async def tick(self) -> None:
        """Has the controller notice who has gone; to be called once a second."""
        await self._decided(self._controller.tick, steers=False)

    async def steer(self, decision: Callable[[float], T]) -> T:
        """Takes a decision of people's, by the moment it is. Raises what that raises."""
        decided: T = await self._decided(decision, steers=True)
        return decided

    def end(self) -> None:
        """Has nothing be decided from now on."""
        self._ended = True

    def _nothing(self) -> Orders:
        wanted = self._controller.wanted
        return Orders(wanted.policy.lease_s, (), wanted.version)

    async def _decided(
        self, decision: Callable[[float], T], *, steers: bool, report: HostReport | None = None
    ) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(decision, answer, steers, report))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(), name="decisions")
        return await answer

    async def _work(self) -> None:
        while self._waiting:
            try:
                sure = await self._confirm()
            except ConnectionError as error:
                self._fail(self._take(), error)
                continue
            waiting = self._take()
            decided = [(one, self._decide(one, sure)) for one in waiting if not one.answer.done()]
            try:
                if sure:
                    await self._keep_changes()
            except Exception as error:  # whichever: what is not kept may not be handed out
                self._fail(waiting, error)
            for one, result in decided:
                if not one.answer.done():
                    one.answer.set_result(result)

    def _take(self) -> list[_Waiting]:
        waiting, self._waiting = self._waiting, []
        return waiting

    def _decide(self, one: _Waiting, sure: bool) -> Any:
        try:
            if one.steers and not sure:
                raise ConnectionError("Ray does not answer")
            return one.decision(monotonic())
        except Exception as error:  # for who asked
            one.answer.set_exception(error)
            return None

    def _fail(self, waiting: list[_Waiting], error: Exception) -> None:
        for one in waiting:
            if not one.answer.done():
                one.answer.set_exception(error)

    async def _keep_changes(self) -> None:
        if self._controller.changes != self._saved:
            changes, data = self._controller.changes, self._controller.state()
            await asyncio.to_thread(self._keep, data)
            self._saved = changes

    async def _confirm(self) -> bool:
        """Whether Ray says that this is the controller; False where it cannot be asked, and what
        there is may be prolonged. Raises ConnectionError."""
        answered, reason = await self._ask()
        if self._ended:
            raise ConnectionError("this controller has ended")
        return self._confirmation.takes(answered, self._asked, monotonic(), reason)

    async def _ask(self) -> tuple[bool | None, str]:
        """What Ray says, or None and why; it is waited for until 0.5 s after it was asked, and an
        answer that came later counts no more."""
        if self._asking is not None and monotonic() - self._asked > ASK_S and self._asking.done():
            self._asking.exception()  # it is looked at, for asyncio
            self._asking = None
        if self._asking is None:
            self._asked = monotonic()
            self._asking = asyncio.create_task(asyncio.to_thread(self._is_controller))
        left_s = max(0.0, self._asked + ASK_S - monotonic())
        if not (await asyncio.wait({self._asking}, timeout=left_s))[0]:
            return None, "not in time"
        asking, self._asking = self._asking, None
        error = asking.exception()
        if error is not None:
            return None, redact(error) or type(error).__name__
        return asking.result(), ""


def _stamp(report: HostReport) -> tuple[int, float]:
    return report.incarnation, report.sent
