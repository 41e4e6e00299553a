"""What ``fleet status`` shows people, on a terminal as narrow as they come."""

from io import StringIO

import pytest
from rich.console import Console

from streamsr.cli import fleet
from streamsr.fleet.messages import CameraStatus, FleetStatus, HostStatus

HOST = "worker-0.cluster-north.internal.example"
CAMERAS = [f"warehouse-north-entrance-camera-{number}" for number in (1, 2)]
REASON = "[tcp @ 0x55] the freest of 2 hosts has 23"


@pytest.fixture
def shown() -> str:
    kind = "AMD EPYC 9654 96-Core Processor (ab12cd34)"
    host = HostStatus(HOST, "draining", 4194304, kind, {}, 192000.0, 100234.0, 5000.0, 120, "")
    cameras = (
        *(CameraStatus(name, HOST, "starting", 317, 0, REASON, 1.0, 0) for name in CAMERAS),
        CameraStatus("gate", "", "waiting", 0, 0, "", 1.0, 0),
    )
    written = StringIO()
    Console(file=written, width=80).print(fleet._tables(FleetStatus(1, (host,), cameras)))
    return written.getvalue()


def columns(shown: str, table: int) -> list[str]:
    """What is in the columns of a table, in one piece each."""
    rows = [line.split("│")[1:-1] for line in shown.split("┏")[table].splitlines() if "│" in line]
    return ["".join(cell.strip() for cell in column) for column in zip(*rows, strict=True)]


def test_names_are_whole_and_reasons_as_they_are(shown: str) -> None:
    names, hosts, _, _, reasons = columns(shown, 2)
    assert names == "".join([*CAMERAS, "gate"])
    assert hosts == HOST * 2 + "none"
    assert reasons.replace(" ", "") == REASON.replace(" ", "") * 2


def test_what_is_short_stays_on_one_line(shown: str) -> None:
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.count("│ starting │ 317   │") == 2
    assert "│ draining │ 4194304 │ 120     │ 100.2 of 192 cores │" in shown
    assert columns(shown, 1)[0] == HOST
