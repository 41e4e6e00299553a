"""Metrics of many hosts on one page: families in one piece, each sample with its host."""

from prometheus_client.parser import text_string_to_metric_families

from streamsr.fleet.gateway.metrics import federated, of_fleet
from streamsr.fleet.messages import CameraStatus, FleetStatus, HostStatus

NORTH = """\
# HELP streamsr_frames_in_total Frames.
# TYPE streamsr_frames_in_total counter
streamsr_frames_in_total{stream="gate"} 12.0
# HELP streamsr_frame_seconds Of a frame's way.
# TYPE streamsr_frame_seconds histogram
streamsr_frame_seconds_bucket{leg="a, {b}",le="0.5",stream="gate"} 3.0
streamsr_frame_seconds_count{leg="a, {b}",stream="gate"} 3.0
# HELP process_open_fds Of files.
# TYPE process_open_fds gauge
process_open_fds 12.0
"""
SOUTH = (
    NORTH.replace('"gate"', '"yard"')
    + """\
# HELP streamsr_newer_thing Of a later version.
# TYPE streamsr_newer_thing gauge
streamsr_newer_thing{} 1.0
"""
)


def test_pages_of_hosts_become_one_that_prometheus_reads() -> None:
    text = "".join(federated({"north": NORTH, "south": SOUTH}))
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert text.count("# TYPE streamsr_frames_in_total counter") == 1
    frames = families["streamsr_frames_in"].samples
    assert [(s.labels["host"], s.labels["stream"]) for s in frames] == [
        ("north", "gate"),
        ("south", "yard"),
    ]
    assert [s.labels["host"] for s in families["process_open_fds"].samples] == ["north", "south"]
    assert families["streamsr_newer_thing"].samples[0].labels == {"host": "south"}
    (bucket, *_) = families["streamsr_frame_seconds"].samples
    assert bucket.labels == {"leg": "a, {b}", "le": "0.5", "stream": "gate", "host": "north"}


def test_the_fleet_has_metrics_of_its_own() -> None:
    host = HostStatus('north"1', "lost", 7, "plain", {}, 2000.0, 500.0, 400.0, 1, "")
    camera = CameraStatus("gate", "", "waiting", 2, 0, "too little room", 400.0, 0)
    text = "".join(of_fleet(FleetStatus(1, (host,), (camera,))))
    families = {f.name: f.samples for f in text_string_to_metric_families(text)}
    (up,) = families["streamsr_fleet_host_up"]
    assert (up.value, up.labels) == (0.0, {"host": 'north"1'})
    (placed,) = families["streamsr_fleet_camera_placed"]
    assert (placed.value, placed.labels["stream"]) == (0.0, "gate")


def test_no_hosts_have_no_metrics() -> None:
    assert "".join(federated({})) == ""
