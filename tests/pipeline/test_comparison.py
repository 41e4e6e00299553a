"""A network against bicubic: clips as a camera would have sent them smaller, gains, the verdict."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import cycle, islice, pairwise

import cv2
import numpy as np
import pytest

from streamsr.core.frame import ColourTags, Frame
from streamsr.engine.resample import resize_frame
from streamsr.media.camera_codec import CameraCoding, QuantiserSearch, coded
from streamsr.pipeline.comparison import (
    CHECKS,
    MARGIN_DB,
    BicubicComparison,
    NothingToCompareError,
    ShrunkClip,
)
from streamsr.sources.demo import Scene

LEFT = ColourTags(1, 1, 1)
LAST = slice(-4, None)


def scene(width: int, height: int, count: int, first: int = 0) -> list[Frame]:
    drawn = Scene(width, height)
    return [Frame(drawn.frame(first + n), LEFT, n, Fraction(1, 25)) for n in range(count)]


def resized(frames: Sequence[Frame], by: Fraction | int) -> list[Frame]:
    return [resize_frame(f, int(f.width * by), int(f.height * by)) for f in frames]


def clip_of(sent: Sequence[Frame], scale: Fraction | int = 4) -> ShrunkClip:
    return ShrunkClip.of(sent, Fraction(scale), QuantiserSearch())


def squared_error(frames: Sequence[Frame], truth: Sequence[Frame]) -> float:
    pairs = zip(frames, truth, strict=True)
    return float(np.mean([(a.planes[0].astype(float) - b.planes[0]) ** 2 for a, b in pairs]))


def gained_db(ours: Sequence[Frame], bicubic: Sequence[Frame], truth: Sequence[Frame]) -> float:
    return float(10 * np.log10(squared_error(bicubic, truth) / squared_error(ours, truth)))


def with_noise(frames: Sequence[Frame], deviation: float) -> list[Frame]:
    random = np.random.default_rng(0)
    noisy = []
    for frame in frames:
        luma = frame.planes[0] + random.normal(0, deviation, frame.planes[0].shape)
        planes = (np.rint(luma).clip(0, 255).astype(np.uint8), *frame.planes[1:])
        noisy.append(replace(frame, planes=planes))
    return noisy


def sharper(frames: Sequence[Frame], by: float = 1.0, blur: float = 2.0) -> list[Frame]:
    """As a network trained on clean frames: sharp where there is detail, and noise."""
    made = []
    for frame in frames:
        luma = frame.planes[0].astype(np.float32)
        luma += by * (luma - cv2.GaussianBlur(luma, (0, 0), blur))
        made.append(
            replace(frame, planes=(luma.round().clip(0, 255).astype(np.uint8), *frame.planes[1:]))
        )
    return made


def smoother(frames: Sequence[Frame]) -> list[Frame]:
    """As a network that restores: it takes noise and artefacts away, and some detail."""
    return sharper(frames, -1.0, 0.8)


@pytest.fixture(scope="module")
def large() -> list[Frame]:
    """What there is to see, in the size of a result."""
    return scene(1280, 720, 16, first=25)


@pytest.mark.parametrize(
    ("noise", "kbit_s", "loses"),
    [(0.0, 3000.0, False), (0.0, 40.0, True), (8.0, 3000.0, True)],
    ids=["rich", "starved", "noisy"],
)
def test_the_sign_is_that_of_the_true_gain(
    large: list[Frame], noise: float, kbit_s: float, loses: bool
) -> None:
    sent = list(
        coded(with_noise(resized(large, Fraction(1, 4)), noise), CameraCoding(kbit_s=kbit_s))
    )
    plain = resized(sent, 4)
    assert (gained_db(sharper(plain)[LAST], plain[LAST], large[LAST]) < 0) == loses
    clip = clip_of(sent[4:])
    assert (clip.gain_db(sharper(resized(clip.small, 4)), LAST) < 0) == loses
    unknown = clip_of([replace(frame, packet_bytes=0) for frame in sent[4:]])
    assert unknown.gain_db(sharper(resized(unknown.small, 4)), LAST) > 0, "shrunk frames are clean"


@pytest.mark.parametrize(
    ("noise", "kbit_s", "loses"),
    [(0.0, 6000.0, True), (18.0, 6000.0, False)],
    ids=["clean", "noisy"],
)
def test_restoration_at_the_same_size_is_compared(
    large: list[Frame], noise: float, kbit_s: float, loses: bool
) -> None:
    scenes = resized(large, Fraction(1, 2))
    sent = list(coded(with_noise(scenes, noise), CameraCoding(kbit_s=kbit_s)))
    assert (gained_db(smoother(sent)[LAST], sent[LAST], scenes[LAST]) < 0) == loses
    clip = clip_of(sent[4:], 1)
    assert (clip.truth[0].width, clip.small[0].width) == (320, 320)
    assert (clip.gain_db(smoother(clip.small), LAST) < 0) == loses


def test_what_was_not_coded_is_shrunk_alone() -> None:
    sent = scene(324, 186, 3)
    clip = clip_of(sent)
    for frame, truth, small in zip(sent, clip.truth, clip.small, strict=True):
        assert (truth.width, truth.height) == (320, 184)
        assert (small.width, small.height) == (80, 46)
        np.testing.assert_array_equal(truth.planes[0], frame.planes[0][:184, :320])
        (alone,) = resized([truth], Fraction(1, 4))
        for plane, other in zip(small.planes, alone.planes, strict=True):
            np.testing.assert_array_equal(plane, other)


def test_fewer_bits_show_in_the_shrunk_frames_too() -> None:
    town = scene(320, 180, 12)
    errors = []
    for kbit_s in (60.0, 240.0, 960.0):
        clip = clip_of(list(coded(town, CameraCoding(kbit_s=kbit_s))))
        errors.append(squared_error(clip.small[4:], resized(clip.truth[4:], Fraction(1, 4))))
    assert errors[0] > 1.5 * errors[1] > 2.25 * errors[2]


def test_the_shrunk_frames_of_a_noisy_camera_are_as_noisy() -> None:
    luma, chroma = np.full((256, 320), 120, np.uint8), np.full((128, 160), 128, np.uint8)
    luma[:, 160:] = 90
    wall = [Frame((luma, chroma, chroma), LEFT, n, Fraction(1, 25)) for n in range(4)]
    sent = list(coded(with_noise(wall, 6.0), CameraCoding(qp=10)))
    small = clip_of(sent, 2).small[-1].planes[0].astype(float)
    assert small[:, 10:70].std() == pytest.approx(sent[-1].planes[0][:, 10:70].std(), rel=0.15)


@pytest.mark.parametrize("full", [False, True])
def test_a_clip_keeps_its_range(full: bool) -> None:
    sent = list(coded(scene(320, 180, 4), CameraCoding(kbit_s=400, full_range=full)))
    clip = clip_of(sent)
    assert {frame.colour.full_range for frame in [*clip.truth, *clip.small]} == {full}
    means = [float(frames[-1].planes[0].mean()) for frames in (clip.truth, clip.small)]
    assert means[0] == pytest.approx(means[1], abs=1)


def test_a_scale_between_two_whole_ones() -> None:
    clip = clip_of(list(coded(scene(320, 180, 4), CameraCoding(kbit_s=400))), Fraction(3, 2))
    assert (clip.truth[0].width, clip.truth[0].height) == (318, 180)
    assert (clip.small[0].width, clip.small[0].height) == (212, 120)
    assert clip.gain_db(resized(clip.small, Fraction(3, 2)), LAST) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("scale", "least"), [(4, 128), (Fraction(3, 2), 48), (1, 64)])
def test_frames_that_are_too_small_are_refused(scale: Fraction | int, least: int) -> None:
    clip_of(scene(least + 32, least, 2), scale)
    with pytest.raises(NothingToCompareError, match=rf"allowed are sides from {least} on"):
        clip_of(scene(least + 32, least - 2, 2), scale)


def as_rgb(frame: Frame) -> Frame:
    """The luma of a frame in three channels."""
    tags = ColourTags(matrix=0, full_range=True)
    return replace(frame, planes=(np.stack([frame.planes[0]] * 3, -1),), colour=tags)


@pytest.mark.parametrize("rgb", [False, True])
def test_the_gain_is_the_difference_of_two_psnrs(rgb: bool) -> None:
    sent = scene(320, 184, 4)
    clip = clip_of([as_rgb(frame) for frame in sent] if rgb else sent)
    plain = resized(clip.small, 4)
    assert clip.gain_db(plain, LAST) == pytest.approx(0, abs=1e-6)
    moved = [replace(f, planes=tuple(np.roll(p, 2, 1) for p in f.planes)) for f in plain]
    expected = gained_db(moved[LAST], plain[LAST], clip.truth[LAST])
    assert expected < -0.5
    assert clip.gain_db(moved, LAST) == pytest.approx(expected, abs=0.02)


def test_frames_that_do_not_count_do_not_count() -> None:
    clip = clip_of(scene(320, 184, 4))
    plain = resized(clip.small, 4)
    spoilt = [sharper([plain[0]], 9.0)[0], *plain[1:3], sharper([plain[3]], 9.0)[0]]
    assert clip.gain_db(spoilt, slice(1, 3)) == pytest.approx(0, abs=1e-6)
    assert clip.gain_db(spoilt, slice(0, 3)) < -1


def test_the_gain_of_the_truth_itself_is_a_number() -> None:
    clip = clip_of(scene(320, 184, 4))
    assert 20 < clip.gain_db(clip.truth, LAST) < 100


@pytest.mark.parametrize("noise", [0, 1])
def test_a_flat_frame_is_refused(noise: int) -> None:
    """The lens is covered: what differs there is rounding, and says nothing of a network."""
    luma = np.full((128, 160), 18, np.uint8)
    luma += np.random.default_rng(0).integers(0, noise + 1, luma.shape, np.uint8)
    chroma = np.full((64, 80), 128, np.uint8)
    clip = clip_of([Frame((luma, chroma, chroma), LEFT, 0, Fraction(1, 25))])
    plain = resized(clip.small, 4)
    with pytest.raises(NothingToCompareError, match="flat"):
        clip.gain_db(plain, LAST)
    assert clip.gain_db(with_noise(plain, 5), LAST) < -10, "what a network adds to it shows"


def test_at_the_same_size_what_was_not_coded_can_only_lose() -> None:
    clip = clip_of(scene(320, 184, 4), 1)
    assert clip.gain_db(smoother(clip.small), LAST) < -10
    with pytest.raises(NothingToCompareError):
        clip.gain_db(clip.small, LAST)


def changes(comparison: BicubicComparison, gains_db: list[float]) -> list[tuple[int, bool]]:
    """The checks that changed which of the two wins, counted from 1, and whether bicubic does."""
    numbered = enumerate(gains_db, 1)
    return [(n, comparison.loses) for n, db in numbered if comparison.take(db) is not None]


def test_a_network_that_wins_goes_on_winning() -> None:
    comparison = BicubicComparison()
    assert changes(comparison, [0.4, 1.2] * 50) == []
    assert (comparison.loses, comparison.newest_db) == (False, 1.2)


def test_one_that_loses_does_so_once_and_not_before_there_are_enough_checks() -> None:
    comparison = BicubicComparison()
    assert changes(comparison, [-0.5] * 100) == [(CHECKS, True)]
    assert comparison.loses


def test_the_median_decides_and_is_given() -> None:
    gains_db = [-9.0, *[0.1] * (CHECKS // 2), *[-0.3] * (CHECKS // 2)]
    comparison = BicubicComparison()
    assert [comparison.take(db) for db in gains_db] == [None] * (CHECKS - 1) + [-0.3]
    gains_db[0] = 0.1
    assert changes(BicubicComparison(), gains_db) == []


def test_one_bad_hour_is_forgotten() -> None:
    few = CHECKS // 2
    assert changes(BicubicComparison(), ([-3.0] * few + [0.2] * (few + 1)) * 9) == []


def test_it_changes_again_only_after_as_many_checks() -> None:
    comparison = BicubicComparison()
    gains_db = [-0.5] * CHECKS + [0.5] * 100
    assert changes(comparison, gains_db) == [(CHECKS, True), (2 * CHECKS, False)]
    # the median of the last ones turns first
    assert changes(comparison, [-0.5] * 100) == [(CHECKS // 2 + 1, True)]


def test_checks_that_alternate_change_it_seldom() -> None:
    alternating = list(islice(cycle([-0.5, 0.4]), 50 * CHECKS))
    changed = changes(BicubicComparison(), alternating)
    assert len(changed) <= 50
    assert all(later - earlier >= CHECKS for (earlier, _), (later, _) in pairwise(changed))


@pytest.mark.parametrize("level", [0.0, 1e-9, -0.9 * MARGIN_DB, 0.9 * MARGIN_DB])
def test_what_is_level_with_bicubic_changes_nothing(level: float) -> None:
    comparison = BicubicComparison()
    assert changes(comparison, [level] * 50) == []
    assert changes(comparison, [-0.5] * 50 + [level] * 50) == [(CHECKS // 2 + 1, True)]


def test_a_check_without_a_figure_takes_the_last_one_away_and_decides_nothing() -> None:
    comparison = BicubicComparison()
    changes(comparison, [-0.5] * (CHECKS - 1))
    comparison.miss()
    assert (comparison.newest_db, comparison.loses) == (None, False)
    assert comparison.take(-0.5) == -0.5
