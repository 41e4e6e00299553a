"""Losses in H.264 are noticed, and nothing else is taken for one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from peers import access_units

from streamsr.bitstream.h264 import LossDetector

CLIPS = pytest.mark.parametrize(
    "settings",
    [{}, {"b_frames": 2}, {"slices": 4}, {"gop": 100}, {"pix_fmt": "yuv422p"}],
    ids=["plain", "b-frames", "slices", "one gop", "high 4:2:2"],
)


@CLIPS
def test_a_whole_stream_has_no_loss(clip: Callable[..., Path], settings: dict[str, int]) -> None:
    detector = LossDetector()
    assert not any(detector.lost_before(unit) for unit in access_units(clip(**settings)))


@pytest.mark.parametrize("settings", [{}, {"slices": 4}, {"gop": 100}], ids=str)
@pytest.mark.parametrize("lost", [1, 7, 24, 26, 60])
def test_a_lost_frame_is_noticed_at_the_next_one(
    clip: Callable[..., Path], settings: dict[str, int], lost: int
) -> None:
    units = access_units(clip(**settings))
    detector = LossDetector()
    found = [n for n, unit in enumerate(units) if n != lost and detector.lost_before(unit)]
    gop = settings.get("gop", 25)
    assert found == ([] if (lost + 1) % gop == 0 else [lost + 1]), "a keyframe needs none before it"


def test_the_head_may_come_apart(clip: Callable[..., Path]) -> None:
    first, second, *_ = access_units(clip())
    slice_at = second.rfind(b"\0\0\1")
    detector = LossDetector()
    assert not detector.lost_before(first)
    assert detector.lost_before(second[: slice_at + 4])


@pytest.mark.parametrize("noise", [b"", b"\0\0\1", b"\0\0\1\x67", b"\0\0\1\x67\0\0\0\0", bytes(99)])
def test_noise_is_no_loss_before_a_stream_is_known(noise: bytes) -> None:
    assert not LossDetector(noise).lost_before(noise)
