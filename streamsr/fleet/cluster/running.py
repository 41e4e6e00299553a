"""``fleet run``: has a cluster run what a file says, and follows both until it is interrupted."""

import logging
import math
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from operator import attrgetter
from pathlib import Path
from threading import Event
from time import monotonic

from streamsr.core.errors import StreamsrError, UserError
from streamsr.core.redact import redact
from streamsr.core.settings.fleet import FleetSettings
from streamsr.fleet.cluster import gcs
from streamsr.fleet.cluster.client import FleetClient, GoneError, joined
from streamsr.fleet.cluster.local import LocalCluster, end_cluster
from streamsr.fleet.cluster.serving import gateway_beside
from streamsr.fleet.messages import FleetStatus
from streamsr.fleet.wanted import wanted_of

__all__ = ["FleetFile", "Follower", "run_fleet", "stop_fleet", "unfollowed"]

LOOK_S = 1.0  # between looks at the file and at the fleet
AWAY_S = 15.0  # of a cluster, until this process joins it again
LOCAL_KEY = "local"  # under which the processes of a local cluster are kept

log = logging.getLogger("streamsr")


def run_fleet(
    settings: FleetSettings,
    read: Callable[[], FleetSettings],
    path: Path,
    stopping: Event,
    say: Callable[[str], None],
    *,
    detach: bool,
) -> None:
    """Runs until ``stopping``, or until the fleet is ended; with ``detach`` until it has begun.

    A fleet whose Ray was started here ends with it, any other goes on. ``settings`` are what the
    file at ``path`` says; ``read`` returns them again when that changes. Raises UserError.
    """
    group = settings.fleet
    with ExitStack() as opened:
        cluster, address = None, group.address
        if group.is_local:
            cluster = LocalCluster(group.local_hosts, stays=detach)
            address = cluster.address
            if not detach:
                opened.callback(cluster.close)
        opened.enter_context(joined(address))
        fleet = FleetClient.begun()
        if cluster is not None and not detach:
            opened.callback(_stop, fleet)
        version = fleet.want(wanted_of(settings, 0))
        say(f"The fleet has {len(settings.streams)} cameras: streamsr fleet status shows them")
        if not detach:
            opened.enter_context(gateway_beside(settings, fleet, partial(_tell_page, say)))
            follower = Follower(fleet, FleetFile(read, path, settings), address, version)
            while not stopping.wait(LOOK_S) and not follower.ended:
                if cluster is not None:
                    cluster.mend()
                follower.look()
        elif cluster is not None:
            gcs.keep(LOCAL_KEY, cluster.left_behind())


def _tell_page(say: Callable[[str], None], url: str) -> None:
    say(f"Watch them all at {url}")


def _stop(fleet: FleetClient) -> None:
    """Ends a fleet, unless somebody else has."""
    with suppress(StreamsrError):
        fleet.stop()


def stop_fleet(address: str) -> None:
    """Ends the fleet of a cluster, and a cluster that ``fleet run --detach`` started for it.

    Raises UserError.
    """
    with joined(address):
        FleetClient.of_running().stop()
        left_behind = gcs.kept(LOCAL_KEY)
    if left_behind is not None:
        end_cluster(left_behind)


class FleetFile:
    """The fleet's file, looked at now and then."""

    def __init__(
        self, read: Callable[[], FleetSettings], path: Path, settings: FleetSettings
    ) -> None:
        """``settings`` are what it said when ``fleet run`` began."""
        self._read = read
        self._path = path
        self.settings = settings
        self._begun_with = settings
        self._modified = _modified_ns(path)

    def changed(self) -> bool:
        """Returns whether it says something new: ``settings``. Raises UserError."""
        now = _modified_ns(self._path)
        if now == self._modified:
            return False
        self._modified = now
        settings = self.settings = self._read()
        if names := unfollowed(self._begun_with, settings):
            log.warning("fleet: what changed of %s holds when fleet run begins again", names)
        return True


def unfollowed(before: FleetSettings, now: FleetSettings) -> str:
    """Returns what a running ``fleet run`` does not follow of what changed in its file."""
    names = ["fleet.address", "fleet.hosts", "name", "serve", "mqtt"]
    return ", ".join(n for n in names if attrgetter(n)(before) != attrgetter(n)(now))


class Follower:
    """Has a fleet run what its file says, and joins its cluster again where that was away."""

    def __init__(self, fleet: FleetClient, file: FleetFile, address: str, version: int) -> None:
        """``version`` is the fleet's of what the file says now."""
        self.ended = False  # the fleet was, by somebody
        self._fleet = fleet
        self._file = file
        self._address = address
        self._version = version
        self._changes = _Changes()
        self._silent: float | None = None  # monotonic, since when the fleet does not answer

    def look(self) -> None:
        """To be called once a second."""
        try:
            if self._silent is not None and monotonic() - self._silent > AWAY_S:
                self._silent = -math.inf  # at the next look again, where that fails
                self._fleet.join_again(self._address)
                log.warning("fleet: the cluster is joined again")
            if self._file.changed():
                self._want()
            status = self._fleet.status()
            self._silent = None
            if status.version < self._version:
                log.warning("fleet: it has lost what it was to run, and is told again")
                self._want()
            self._changes.tell(status)
        except GoneError:
            self.ended = self._silent is None
        except UserError as error:
            log.warning("%s", redact(error))
        except StreamsrError as error:
            log.warning("%s", redact(error))
            self._silent = monotonic() if self._silent is None else self._silent

    def _want(self) -> None:
        self._version = self._fleet.want(wanted_of(self._file.settings, 0))
        log.info("fleet: what the file says now is version %d", self._version)


class _Changes:
    """Tells what has changed of hosts and cameras."""

    def __init__(self) -> None:
        self._hosts: dict[str, str] = {}
        self._cameras: dict[str, tuple[str, str]] = {}

    def tell(self, status: FleetStatus) -> None:
        for host in status.hosts:
            if self._hosts.get(host.name) != host.state:
                self._hosts[host.name] = host.state
                log.info("fleet: %s is %s", host.name, host.state)
        for camera in status.cameras:
            if self._cameras.get(camera.name) != (camera.host, camera.state):
                self._cameras[camera.name] = camera.host, camera.state
                reason = f": {redact(camera.reason)}" if camera.reason else ""
                where = f" on {camera.host}" if camera.host else ""
                log.info("fleet: %s is %s%s%s", camera.name, camera.state, where, reason)


def _modified_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
