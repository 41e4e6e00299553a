"""``fleet run``: has a cluster run what a file says, and follows both until it is interrupted."""

import logging
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from operator import attrgetter
from pathlib import Path
from threading import Event

from streamsr.core.errors import StreamsrError
from streamsr.core.redact import redact
from streamsr.core.settings.fleet import FleetSettings
from streamsr.fleet.cluster import gcs
from streamsr.fleet.cluster.client import FleetClient, GoneError, joined
from streamsr.fleet.cluster.local import LocalCluster, end_cluster
from streamsr.fleet.cluster.serving import gateway_beside
from streamsr.fleet.messages import FleetStatus
from streamsr.fleet.wanted import wanted_of

__all__ = ["run_fleet", "stop_fleet", "unfollowed"]

LOOK_S = 1.0  # between looks at the file and at the fleet
LOCAL_KEY = "local"  # under which the processes of a local cluster are kept

log = logging.getLogger("streamsr")


def run_fleet(
    read: Callable[[], FleetSettings],
    path: Path,
    stopping: Event,
    say: Callable[[str], None],
    *,
    detach: bool,
) -> None:
    """Runs until ``stopping``, or until the fleet is ended; with ``detach`` until it has begun.

    A fleet whose Ray was started here ends with it, any other goes on. ``read`` returns what the
    file at ``path`` says, and again when that changes. Raises UserError.
    """
    settings = read()
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
        fleet.want(wanted_of(settings, 0))
        say(f"The fleet has {len(settings.streams)} cameras: streamsr fleet status shows them")
        if not detach:
            opened.enter_context(gateway_beside(settings, fleet, partial(_tell_page, say)))
            _follow(fleet, _File(read, path, settings), stopping, cluster)
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


class _File:
    """The fleet's file, looked at now and then."""

    def __init__(
        self, read: Callable[[], FleetSettings], path: Path, settings: FleetSettings
    ) -> None:
        """``settings`` are what it said when ``fleet run`` began."""
        self._read = read
        self._path = path
        self._begun_with = settings
        self._modified = _modified_ns(path)

    def changed(self) -> FleetSettings | None:
        """Returns what it says where that is new; None where it is not. Raises UserError."""
        now = _modified_ns(self._path)
        if now == self._modified:
            return None
        self._modified = now
        settings = self._read()
        if names := unfollowed(self._begun_with, settings):
            log.warning("fleet: what changed of %s holds when fleet run begins again", names)
        return settings


def unfollowed(before: FleetSettings, now: FleetSettings) -> str:
    """Returns what a running ``fleet run`` does not follow of what changed in its file."""
    names = ["fleet.address", "fleet.hosts", "name", "serve", "mqtt"]
    return ", ".join(n for n in names if attrgetter(n)(before) != attrgetter(n)(now))


def _follow(fleet: FleetClient, file: _File, stopping: Event, cluster: LocalCluster | None) -> None:
    changes = _Changes()
    while not stopping.wait(LOOK_S):
        if cluster is not None:
            cluster.mend()
        try:
            settings = file.changed()
            if settings is not None:
                version = fleet.want(wanted_of(settings, 0))
                log.info("fleet: what the file says now is version %d", version)
            changes.tell(fleet.status())
        except GoneError:
            return
        except StreamsrError as error:
            log.warning("%s", redact(error))


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
