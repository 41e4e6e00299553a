"""What many files do not use is refused, by name."""

import os
from pathlib import Path
from typing import Any

import pytest

from streamsr.core.config import parse
from streamsr.core.errors import ConfigError
from streamsr.core.settings import PipelineSettings
from streamsr.files.plan import FileJob
from streamsr.files.unused import refuse_unused

OUT = Path("out")
VIDEO = FileJob(Path("a.mp4"), Path("a.mp4"))
IMAGES = FileJob(Path("frames"), Path("frames"), is_images=True)


def check(jobs: list[FileJob], **more: dict[str, Any]) -> None:
    data: dict[str, Any] = {
        "input": {"url": str(jobs[0].source), "give_up_s": 10.0} | more.pop("input", {}),
        "output": {"path": str(OUT / jobs[0].output)} | more.pop("output", {}),
    }
    refuse_unused(parse(data | more, PipelineSettings, "test"), jobs, OUT)


@pytest.mark.parametrize(
    ("jobs", "more", "names"),
    [
        ([VIDEO], {"publish": [{"url": "rtsp://a/b"}]}, "publish"),
        ([VIDEO], {"sinks": [{"url": "nosuch://x"}]}, "sinks"),
        ([VIDEO], {"record": {"folder": "r"}}, "record"),
        ([VIDEO], {"hls": {"folder": "h"}}, "hls"),
        ([VIDEO], {"mqtt": {"host": "192.0.2.1"}}, "mqtt"),
        ([VIDEO], {"serve": {}}, "serve"),
        ([VIDEO], {"webrtc": {"announce": ["192.0.2.1"]}}, "webrtc"),
        ([VIDEO], {"enabled": False}, "enabled: got false"),
        ([VIDEO], {"input": {"url": "b.mp4"}}, "input.url"),
        ([VIDEO], {"input": {"follow": True}}, "--follow: got a folder"),
        ([VIDEO], {"input": {"live": True}}, "input.live"),
        ([IMAGES], {"input": {"audio_from": os.devnull}}, "--audio-from: got a folder"),
        ([VIDEO], {"output": {"path": "b.mp4"}}, "output.path"),
        ([VIDEO], {"input": {"rate": "25"}}, "--rate 25: got videos"),
        ([IMAGES], {"encoder": {"crf": 20}}, "encoder.crf: got folders of images"),
    ],
)
def test_what_no_file_uses_is_refused_by_name(
    jobs: list[FileJob], more: dict[str, Any], names: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{names}"):
        check(jobs, **more)


def test_what_some_of_the_files_use_is_not() -> None:
    check([VIDEO, IMAGES], input={"rate": "30"}, encoder={"crf": 20})
    check([VIDEO], output={"labels": True, "compare": "side"}, limits={"frames": 5})
