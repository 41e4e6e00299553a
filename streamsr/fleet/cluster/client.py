"""The fleet as those see it who start, ask and steer it: calls to its controller."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import ray

from streamsr.core.errors import StreamsrError, UserError
from streamsr.fleet.cluster.controller_actor import find_controller, start_controller
from streamsr.fleet.cluster.names import NAMESPACE
from streamsr.fleet.messages import FleetStatus, HostAddress, Wanted

__all__ = ["FleetClient", "GoneError"]

ANSWER_S = 20.0  # for the controller, which may be starting


class GoneError(StreamsrError):
    """The fleet was ended."""


class FleetClient:
    """A process that has joined a cluster. What it asks blocks, up to 20 s."""

    def __init__(self, controller: Any) -> None:
        self._controller = controller

    @classmethod
    def of_running(cls) -> Self:
        """Returns the fleet of the cluster. Raises UserError where there is none."""
        return cls(find_controller())

    @classmethod
    def begun(cls) -> Self:
        """Returns the fleet of the cluster, which is begun where there is none."""
        return cls(start_controller())

    def want(self, wanted: Wanted) -> int:
        """Has the fleet run this from now on; returns the version that it has by that."""
        version: int = self._get(self._controller.want.remote(wanted))
        self._get(self._controller.begin.remote())
        return version

    def status(self) -> FleetStatus:
        status: FleetStatus = self._get(self._controller.status.remote())
        return status

    def addresses(self) -> tuple[HostAddress, ...]:
        """Returns where the nodes of the hosts that are up serve."""
        addresses: tuple[HostAddress, ...] = self._get(self._controller.addresses.remote())
        return addresses

    def wanted(self) -> Wanted:
        """Returns what the fleet is to run."""
        wanted: Wanted = self._get(self._controller.wanted.remote())
        return wanted

    def drain(self, host: str) -> None:
        """Raises UserError."""
        self._get(self._controller.drain.remote(host))

    def move(self, camera: str, host: str) -> None:
        """Raises UserError."""
        self._get(self._controller.move.remote(camera, host))

    def stop(self) -> None:
        """Ends the fleet, and forgets what it was to run."""
        self._get(self._controller.stop.remote())
        ray.kill(self._controller, no_restart=True)

    def _get(self, answer: Any) -> Any:
        """Raises UserError for what was asked wrongly, GoneError, and StreamsrError without an
        answer."""
        try:
            return ray.get(answer, timeout=ANSWER_S)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise UserError(str(error.cause)) from None
            raise StreamsrError(f"fleet: its controller says: {error.cause}") from None
        except ray.exceptions.ActorDiedError:
            raise GoneError("fleet: it has ended") from None
        except (ray.exceptions.RayError, TimeoutError) as error:
            raise StreamsrError(f"fleet: its controller does not answer: {error}") from None


@contextmanager
def joined(address: str) -> Iterator[None]:
    """In it, this process is in the cluster at ``address``. Raises UserError."""
    try:
        ray.init(
            address=address,
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ray.exceptions.AuthenticationError:
        raise UserError(
            "fleet: there is no token for this cluster, or another one: RAY_AUTH_TOKEN_PATH names "
            "its file; RAY_AUTH_MODE=disabled joins one that asks for none"
        ) from None
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"fleet: no Ray cluster answers at {address!r}, ray start --head begins one: {reason}"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()
