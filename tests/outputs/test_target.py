"""Where outputs go: names for people without secrets, folders, and how their processes start."""

import os
from pathlib import Path

import pytest
from peers.outputs import record

from streamsr.core.errors import OutputError
from streamsr.core.settings import HlsSettings, PublishSettings
from streamsr.ipc.framing import encode
from streamsr.ipc.messages import StartHls, StartRecorder, StartServer
from streamsr.outputs.target import Target, check_output


@pytest.mark.parametrize(
    ("url", "kind", "shown"),
    [
        ("rtsp://me:canary@cam/live", "rtsp", "rtsp://***@cam/live"),
        ("RTMP://host/live/canary", "rtmp", "RTMP://host/live/***"),
        ("rtmps://me:canary@host/live/canary", "rtmp", "rtmps://***@host/live/***"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, kind: str, shown: str) -> None:
    target = Target("cam", PublishSettings(url=url, transport="udp"))
    assert (target.kind, target.name) == (kind, shown)
    assert target.start == StartServer(url, "udp", os.getpid())
    assert url.encode() in encode(target.start), "it can be sent"


def test_a_recording_is_named_by_its_folder(tmp_path: Path) -> None:
    target = Target("cam", record(tmp_path, segment_s=60, keep_days=2, min_free_gb=1.5))
    assert (target.kind, target.name) == ("record", str(tmp_path))
    assert target.start == StartRecorder("cam", tmp_path, 60, 172_800, 1_500_000_000)


def test_hls_is_named_by_its_folder(tmp_path: Path) -> None:
    target = Target("cam", HlsSettings(folder=tmp_path))
    assert (target.kind, target.name) == ("hls", str(tmp_path))
    assert target.start == StartHls(tmp_path, 2.0, 6)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    for settings in (record(blocked / "rec"), HlsSettings(folder=blocked)):
        with pytest.raises(OutputError, match=r"file.*: cannot be written: "):
            check_output(settings)
    check_output(record(tmp_path / "a" / "b"))
    assert list((tmp_path / "a" / "b").iterdir()) == []
    check_output(HlsSettings())
    check_output(PublishSettings(url="rtmp://127.0.0.1:1/live/cam"))
