"""What a keyframe changes beyond the scene is spread over the frames after it; nothing else is."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest

from streamsr.core.frame import ColourTags, Frame
from streamsr.engine.resample import resize_frame
from streamsr.media.camera_codec import CameraCoding, coded
from streamsr.pipeline.keyframe_flicker import FRAMES, FlickerFilter

LEFT = ColourTags(1, 1, 1)
GOP, COUNT = 12, 40
KEYFRAMES = (12, 24, 36)


def texture(width: int, height: int) -> np.ndarray:
    """Luma with detail at every size, as scenes have it."""
    random = np.random.default_rng(1)
    total = np.zeros((height, width), np.float32)
    for size in (1, 2, 4, 8, 16, 32, 64):
        coarse = random.normal(0, size**0.5, (height // size + 2, width // size + 2))
        total += cv2.resize(
            coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
    return total * (25 / total.std()) + 120


def view(width: int = 320, height: int = 180, pan_px: float = 0.0) -> tuple[list[Frame], ...]:
    """What a camera looks at that pans by so much a frame, and what its sensor makes of it."""
    wide, random = texture(width + int(pan_px * COUNT) + 8, height), np.random.default_rng(0)
    chroma = np.full((-(-height // 2), -(-width // 2)), 128, np.uint8)
    clips: tuple[list[Frame], ...] = [], []
    for n in range(COUNT):
        move = np.array([[1, 0, -n * pan_px], [0, 1, 0]], np.float32)
        luma = cv2.warpAffine(wide, move, (width, height), flags=cv2.INTER_CUBIC)
        for clip, noise in zip(clips, (0.0, random.normal(0, 2, luma.shape)), strict=True):
            plane = (luma + noise).round().clip(16, 235).astype(np.uint8)
            clip.append(Frame((plane, chroma, chroma), LEFT, n, Fraction(1, 25)))
    return clips


def sent_of(frames: Sequence[Frame], kbit_s: float = 200, **how: Any) -> list[Frame]:
    return list(coded(frames, CameraCoding(kbit_s=kbit_s, **{"gop": GOP, **how})))


def steadied(frames: Sequence[Frame]) -> list[Frame]:
    flicker = FlickerFilter()
    return [flicker.steadied(frame) for frame in frames]


def changed(frames: Sequence[Frame]) -> list[int]:
    """The numbers of the frames that do not come out as they are."""
    pairs = zip(steadied(frames), frames, strict=True)
    return [n for n, (after, before) in enumerate(pairs) if after is not before]


def levels(frames: Sequence[Frame]) -> np.ndarray:
    return np.stack([frame.planes[0] for frame in frames]).astype(float)


def errors(frames: Sequence[Frame], truth: Sequence[Frame]) -> np.ndarray:
    """By how much each frame is off the scene, squared."""
    return np.square(levels(frames) - levels(truth)).mean((1, 2))


def errors_of_changes(frames: Sequence[Frame], truth: Sequence[Frame]) -> np.ndarray:
    """By how much each change from a frame to the next is off the scene's, squared."""
    return np.square(np.diff(levels(frames) - levels(truth), axis=0)).mean((1, 2))


def jumps(frames: Sequence[Frame], truth: Sequence[Frame]) -> float:
    """How many times as far off the changes at keyframes are as those at all frames."""
    found = errors_of_changes(frames, truth)
    return float(found[[n - 1 for n in KEYFRAMES]].mean() / found.mean())


@pytest.mark.parametrize("pan_px", [0.0, 0.3])
@pytest.mark.parametrize(("width", "height"), [(320, 180), (640, 352), (322, 182)])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_what_flickers_in_the_input_does_not_in_the_output(
    width: int, height: int, codec: str, pan_px: float
) -> None:
    truth, seen = view(width, height, pan_px)
    sent = sent_of(seen, codec=codec)
    shown = steadied(sent)
    assert jumps(sent, truth) > 2
    assert jumps(shown, truth) < 0.75 * jumps(sent, truth)
    for measure in (errors, errors_of_changes):
        assert measure(shown, truth).mean() < measure(sent, truth).mean()


def test_a_camera_that_moves_is_left_alone() -> None:
    """There motion hides flicker, and what is held back would smear."""
    assert changed(sent_of(view(pan_px=1.3)[1])) == []


def test_only_the_frames_after_a_keyframe_change_and_their_luma_alone() -> None:
    sent = sent_of(view()[1])
    assert changed(sent) == [n + after for n in KEYFRAMES for after in range(FRAMES)]
    for a, b in zip(steadied(sent), sent, strict=True):
        assert (a.pts, a.packet_bytes, a.keyframe) == (b.pts, b.packet_bytes, b.keyframe)
        assert all(map(np.array_equal, a.planes[1:], b.planes[1:]))


def test_what_is_coded_richly_or_not_at_all_stays_as_it_is() -> None:
    truth, _ = view()
    assert changed(truth) == []
    assert changed([replace(frame, keyframe=n % GOP == 0) for n, frame in enumerate(truth)]) == []
    assert changed(sent_of(truth, qp=8)) == []


def test_keyframes_alone_do_not_flicker() -> None:
    assert changed(sent_of(view()[1], gop=1)) == []


def test_a_cut_does_not_flicker() -> None:
    """Nothing of a scene is seen in the next one."""
    _, seen = view()
    turned = [replace(f, planes=tuple(p[::-1, ::-1] for p in f.planes)) for f in seen]
    sent = sent_of([*seen[:GOP], *turned[GOP : 2 * GOP]])
    assert sent[GOP].keyframe
    assert changed(sent) == []


@pytest.mark.parametrize("change", ["discontinuous", "size"])
def test_what_has_nothing_to_do_with_the_frame_before_takes_nothing_from_it(change: str) -> None:
    sent, at = sent_of(view()[1]), KEYFRAMES[1]
    if change == "size":
        sent[at:] = [resize_frame(frame, 160, 90) for frame in sent[at:]]
    else:
        sent[at] = replace(sent[at], discontinuous=True)
    assert changed(sent)
    assert not {at, at + 1} & set(changed(sent))
