"""The fleet as those see it who start, ask and steer it: calls to its controller."""

import asyncio
import logging
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import Any, Self

import ray

from streamsr.core.errors import StreamsrError, UserError
from streamsr.core.redact import redact
from streamsr.fleet.cluster import gcs, private
from streamsr.fleet.cluster.controller_actor import find_controller, start_controller
from streamsr.fleet.cluster.kept_state import KeptState
from streamsr.fleet.cluster.names import NAMESPACE
from streamsr.fleet.cluster.recruiting import Recruiter
from streamsr.fleet.cluster.urgency import Hurry
from streamsr.fleet.environment import OF_ITS_CLIENT, place_of
from streamsr.fleet.messages import FleetStatus, HostAddress, Wanted
from streamsr.fleet.wanted import StaleError

__all__ = ["FleetClient", "GoneError", "joined", "kept_signals"]

ANSWER_S = 20.0  # for the controller, which may be starting again
BEGUN_S = 120.0  # for one to begin, on a machine that has much else to do
AGAIN_S = 0.2  # while it is
CONNECT_S = 3.0  # for a cluster's machine
JOINED_S = 40.0  # in which a join that has failed is tried again
REASON = 300  # characters
SHOWN_AS = "streamsr fleet"  # by Ray

log = logging.getLogger("streamsr")


class GoneError(StreamsrError):
    """The fleet was ended."""


class FleetClient:
    """A process that has joined a cluster. What it asks blocks, up to 20 s."""

    def __init__(self, controller: Any) -> None:
        self._controller = controller
        self._hurry: Hurry | None = None  # while the controller starts

    @classmethod
    def of_running(cls) -> Self:
        """Returns the fleet of the cluster. Raises UserError where there is none."""
        return cls(find_controller())

    @classmethod
    def begun(cls) -> Self:
        """Returns the fleet of the cluster, which is begun where there is none. Raises
        StreamsrError where that takes longer than two minutes."""
        fleet = cls(start_controller())
        fleet._ask("wanted", within_s=BEGUN_S)
        return fleet

    def join_again(self, address: str) -> None:
        """Joins the cluster at ``address`` again, as one whose head was away may not know this
        process any more. Raises UserError, and StreamsrError as ``begun`` does."""
        ray.shutdown()
        _join(address)
        self._controller = start_controller()
        self._ask("wanted", within_s=BEGUN_S)

    def want(self, wanted: Wanted) -> int:
        """Has the fleet run this from now on; returns the version that it has by that.

        Raises StaleError, as ``successor`` does.
        """
        version: int = self._ask("want", wanted)
        self._ask("begin")
        return version

    def status(self) -> FleetStatus:
        status: FleetStatus = self._ask("status")
        return status

    def addresses(self) -> tuple[HostAddress, ...]:
        """Returns where the nodes of the hosts that are up serve."""
        addresses: tuple[HostAddress, ...] = self._ask("addresses")
        return addresses

    def wanted(self) -> Wanted:
        """Returns what the fleet is to run."""
        wanted: Wanted = self._ask("wanted")
        return wanted

    def drain(self, host: str) -> None:
        """Raises UserError."""
        self._ask("drain", host)

    def move(self, camera: str, host: str) -> None:
        """Raises UserError."""
        self._ask("move", camera, host)

    def stop(self) -> None:
        """Ends the fleet, and forgets what it was to run; without its controller's help, if need
        be: hosts would go on without it."""
        try:
            self._ask("stop")
        except GoneError:
            raise
        except StreamsrError as error:
            log.warning("%s: its hosts are ended without it", redact(error))
            ray.kill(self._controller, no_restart=True)
            asyncio.run(Recruiter().dismiss())
            KeptState().remove()
        else:
            ray.kill(self._controller, no_restart=True)

    def _ask(self, what: str, *about: Any, within_s: float | None = None) -> Any:
        """Asks the controller, again while it restarts: each of these may be done twice.

        Raises UserError for what was asked wrongly, GoneError, and StreamsrError without an answer.
        """
        until = monotonic() + (within_s or ANSWER_S)
        while True:
            try:
                return self._answer(getattr(self._controller, what).remote(*about), until)
            except ray.exceptions.RayTaskError as error:
                for kind in (StaleError, UserError):
                    if isinstance(error.cause, kind):
                        raise kind(str(error.cause)) from None
                raise StreamsrError(f"fleet: its controller says: {error.cause}") from None
            except ray.exceptions.ActorDiedError:
                raise GoneError("fleet: it has ended") from None
            except Exception as error:  # of Ray, or of its client, which has none of its own
                starts = isinstance(error, ray.exceptions.ActorUnavailableError)
                if not starts or monotonic() > until:
                    why = str(error).partition("\n")[0]
                    raise StreamsrError(f"fleet: its controller does not answer: {why}") from None
            sleep(AGAIN_S)

    def _answer(self, answer: Any, until: float) -> Any:
        """Waits for an answer, which a controller that starts owes for a while."""
        while not ray.wait([answer], timeout=AGAIN_S)[0]:
            if monotonic() > until:
                raise TimeoutError("not in time")
            self._hurry_it()
        if self._hurry is not None:
            self._hurry.off()
            self._hurry = None
        return ray.get(answer)

    def _hurry_it(self) -> None:
        """The controller may be started on this machine."""
        self._hurry = self._hurry or Hurry(gcs.address())
        self._hurry.on()


@contextmanager
def kept_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself, and ends what it runs in an order of its own: after this, it is
    handled as before; one that came meanwhile, too. Raises InterruptedError after that."""
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ended = False
    try:
        yield
    except SystemExit:  # Ray's answer to it
        ended = True
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in found.items():
                signal.signal(number, handler)
    if ended:
        signal.raise_signal(signal.SIGTERM)
        raise InterruptedError("it is being ended")


@contextmanager
def joined(address: str) -> Iterator[None]:
    """In it, this process is in the cluster at ``address``. Raises UserError."""
    _join(address)
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    try:
        if (place := place_of(address)) is not None:  # Ray itself would try for minutes
            socket.create_connection(place, CONNECT_S).close()
            _check_who_answers(place, address)
        _show_no_arguments()
        private.keep_its_errors_in_its_logs()
        _init(address)
    except (ray.exceptions.AuthenticationError, private.TokenRefusedError):
        raise UserError(
            "fleet: there is no token for this cluster, or another one: RAY_AUTH_TOKEN_PATH names "
            "its file; RAY_AUTH_MODE=disabled joins one that asks for none"
        ) from None
    except (OSError, ValueError, RuntimeError, private.StrangerError) as error:
        reason = " ".join(str(error).split())[:REASON]
        raise UserError(
            f"fleet: no Ray cluster answers at {address!r}, ray start --head begins one: {reason}"
        ) from None


def _check_who_answers(place: tuple[str, int], address: str) -> None:
    """Raises UserError for another version, and what ``private.version_at`` does: Ray itself would
    try for a minute, and would not say what is wrong."""
    host, port = place
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with suppress(private.MovedError):  # Ray says so itself, later
        found = private.version_at(where, of_its_client=address.startswith(OF_ITS_CLIENT))
        if found not in ("", ray.__version__):
            raise UserError(
                f"fleet: the cluster at {address!r} runs Ray {found}, this machine has "
                f"{ray.__version__}: allowed is the same on all, pip install ray=={found}"
            )


def _init(address: str) -> None:
    """Raises what Ray does. A server of Ray's client starts a process for whoever joins, which on a
    busy machine is not there in time at first: such a join is tried again."""
    until = monotonic() + JOINED_S * address.startswith(OF_ITS_CLIENT)
    while True:
        try:
            with kept_signals(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what fails is said by us, in one line
                ray.init(
                    address=address,
                    namespace=NAMESPACE,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            return
        except (ConnectionError, RuntimeError, TimeoutError) as error:
            refused = isinstance(error, ray.exceptions.AuthenticationError)
            if refused or "version" in str(error).lower() or monotonic() > until:
                raise
            log.debug("fleet: %s: another try", redact(error))
        ray.shutdown()  # half of it may be there
        sleep(AGAIN_S)


def _show_no_arguments() -> None:
    """Ray shows the command line of who joins in its state and its dashboard: ``--set`` may have an
    address in it, or a password."""
    try:
        private.name_what_runs(SHOWN_AS)
    except private.MovedError as error:
        log.warning("fleet: %s: it shows this command line to all who may ask it", redact(error))
