"""Losses in H.265 are followed along what frames refer to, and nothing else is taken for one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from peers import access_units

from streamsr.bitstream.h265 import WholeFrames

SMALL = {"codec": "libx265", "width": 160, "height": 96, "audio": False, "seconds": 2.4}
CLIPS = {
    "plain": "bframes=0:keyint=25",
    "b-frames": "bframes=4:b-pyramid=1:keyint=40:ref=4",
    "open gop": "open-gop=1:bframes=3:keyint=25:ref=3",
    "slices": "pools=1:bframes=0:slices=2:keyint=25:open-gop=0",  # without a pool x265 crashes
    "temporal layers": "bframes=3:temporal-layers=3:keyint=30",
    "long-term, 4 bits": "bframes=0:keyint=25:log2-max-poc-lsb=4",
    "scaling lists": "bframes=0:keyint=25:scaling-list=default",
}


@pytest.fixture(scope="module")
def units(clip: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``units(params)``: access units of a clip that x265 codes so, and its frames."""
    folder = tmp_path_factory.mktemp("h265")
    made: dict[str, list[bytes]] = {}

    def make(params: str) -> list[bytes]:
        if params not in made:
            path = folder / f"{len(made)}.mp4"
            with av.open(str(clip(**SMALL))) as source, av.open(str(path), "w") as out:
                video = out.add_stream("libx265", rate=25)
                video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
                video.codec_context.thread_count = 1
                quiet = "pools=none:frame-threads=1:log-level=none:scenecut=0:"
                video.options = {"preset": "superfast", "x265-params": quiet + params}
                for frame in source.decode(video=0):
                    frame.pict_type = 0
                    out.mux(video.encode(frame))
                out.mux(video.encode(None))
            made[params] = access_units(path)
        return made[params]

    return make


def decoded(units: dict[int, bytes]) -> dict[int | None, bytes]:
    """The frames of access units by their numbers, as FFmpeg decodes them."""
    context = av.CodecContext.create("hevc", "r")
    assert isinstance(context, av.VideoCodecContext)
    context.thread_count = 1
    packets = []
    for number, unit in units.items():
        packets.append(av.Packet(unit))
        packets[-1].pts = number
    images = [image for packet in [*packets, None] for image in context.decode(packet)]
    return {image.pts: image.to_ndarray(format="gray").tobytes() for image in images}


@pytest.mark.parametrize("params", CLIPS.values(), ids=CLIPS.keys())
def test_a_whole_stream_has_no_loss(units: Any, params: str) -> None:
    frames = WholeFrames()
    for unit in units(params):
        assert frames.is_whole(unit)
        assert not frames.lost


@pytest.mark.parametrize("params", CLIPS.values(), ids=CLIPS.keys())
@pytest.mark.parametrize("lost", [1, 8, 30])
def test_what_is_called_whole_is_decoded_as_without_the_loss(
    units: Any, params: str, lost: int
) -> None:
    sent, frames = dict(enumerate(units(params))), WholeFrames()
    truth = decoded(sent)
    del sent[lost]
    whole = {number for number, unit in sent.items() if frames.is_whole(unit)}
    found = decoded(sent)
    assert [number for number in whole if found[number] != truth[number]] == []
    assert len(whole) > 20, "each clip has another keyframe"


def test_a_frame_without_its_first_slice_is_not_whole(units: Any) -> None:
    sent = units(CLIPS["slices"])
    frames = WholeFrames()
    assert all(frames.is_whole(unit) for unit in sent[:5])
    _, second_slice = (b"\0\0\1\2" + nal for nal in sent[5].split(b"\0\0\1\2")[1:])
    assert not frames.is_whole(second_slice)
    assert frames.lost
    assert not frames.is_whole(sent[6]), "it refers to that one"


def test_a_stream_is_whole_from_its_first_keyframe_on(units: Any) -> None:
    sent = units(CLIPS["plain"])
    parameter_sets, *_ = sent[0].split(b"\0\0\1\x26")  # before the IDR's slice
    frames = WholeFrames(parameter_sets)
    assert [frames.is_whole(unit) for unit in sent[20:30]] == [False] * 5 + [True] * 5


@pytest.mark.parametrize(
    "noise", [b"", b"\0\0\1", b"\0\0\1\x42", b"\0\0\1\x42\1\0\0\0\0", bytes(9)]
)
def test_noise_is_no_loss_before_a_stream_is_known(noise: bytes) -> None:
    assert WholeFrames(noise).is_whole(noise)
