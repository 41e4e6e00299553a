"""Keyframe flicker: an encoder draws the whole frame again at a keyframe, and what is seen jumps.

Owns what is held back of a jump; knows no clock, and no network.
"""

from dataclasses import dataclass, replace
from math import ceil, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.core.frame import Frame, Plane
from streamsr.networks.flow import Flow, enlarged_flow, flow_of_planes, moved

__all__ = ["FRAMES", "FlickerFilter", "FlickerState"]

FRAMES = 4  # over which a jump is spread: each step of it is below what changes anyway
ALLOWED = 2.5  # times the energy of the usual change: a keyframe is sharper, too
QUIET = 0.5  # levels²: what changes less is not seen
MOST = 20.0  # levels: a frame that changes more than that nearly everywhere shows something else
STILL_PX = 0.5  # a camera that moves has motion to show, and what is held back would smear
AROUND_PX = 3.0  # deviation of the Gaussian by which a pixel's change is that of its neighbours
FLOW_PIXELS = 80_000  # of a frame, averaged, that motion is looked for in

Levels = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class FlickerState:
    """What a filter has of the frames so far, beside the newest one."""

    held: Levels | None = None  # what was taken from the luma of the newest frame
    left: int = 0  # frames after a keyframe that give it back, and tell what is usual
    usual: float | None = None  # levels²: what changes between keyframes


class FlickerFilter:
    """Takes the frames of one stream in order, and spreads over the next few what changes at a
    keyframe beyond motion, and beyond what changes from frame to frame anyway."""

    def __init__(self, before: Frame | None = None, state: FlickerState | None = None) -> None:
        """``state``: of a filter whose newest frame was ``before``, from which this one goes on."""
        state = state or FlickerState()
        self._before = before  # the last frame as it came
        self._held, self._left, self._usual = state.held, state.left, state.usual

    @property
    def state(self) -> FlickerState:
        """What another filter needs to go on, with the newest frame."""
        return FlickerState(self._held, self._left, self._usual)

    def steadied(self, frame: Frame) -> Frame:
        """Takes a frame; returns it, or it with another luma.

        What was not coded, or in keyframes alone, stays as it is.
        """
        before, self._before = self._before, frame
        if before is None or not _follows(frame, before):
            self._held, self._left, self._usual = None, 0, None
            return frame
        begins = frame.keyframe and not before.keyframe
        if not begins and not self._left and self._usual is not None:
            return frame
        luma = frame.levels_of(0)
        flow = _flow(frame.brightness, before.brightness)
        change = _alike(luma - moved(before.levels_of(0), flow))
        begins = begins and float(np.median(np.abs(flow).max(2))) <= STILL_PX
        self._give_back(flow)
        self._learn(change, begins=begins, keyframe=frame.keyframe)
        if self._held is None:
            return frame
        steadied = frame.samples_of(0, luma - self._held)
        return replace(frame, planes=(steadied, *frame.planes[1:]))

    def _give_back(self, flow: Flow) -> None:
        """Moves what is held with its pixels, and lets its share go."""
        if self._left:
            self._left -= 1
        if self._held is not None:
            share = np.float32(self._left / (self._left + 1))
            self._held = moved(self._held, flow) * share if self._left else None

    def _learn(self, change: Levels, *, begins: bool, keyframe: bool) -> None:
        """Takes what has changed since the frame before: flicker is held, the usual remembered."""
        energy = float(np.square(change).mean())
        if begins and self._usual is not None:
            self._left, allowed = FRAMES, ALLOWED * max(self._usual, QUIET)
            if energy > allowed:
                jump = change * np.float32(1 - sqrt(allowed / energy))
                self._held = jump if self._held is None else self._held + jump
        elif not keyframe:
            self._usual = energy if self._usual is None else (self._usual + energy) / 2


def _follows(frame: Frame, before: Frame) -> bool:
    """Whether a frame was coded from the one before it, or could have been."""
    coded = frame.packet_bytes > 0 and not frame.is_rgb and not frame.discontinuous
    alike = [p.shape for p in frame.planes] == [p.shape for p in before.planes]
    return coded and alike and frame.depth == before.depth


def _flow(luma: Plane, before: Plane) -> Flow:
    """Where in ``before`` each pixel lies, found in frames that are averaged where large."""
    height, width = luma.shape
    by = max(1, ceil(sqrt(height * width / FLOW_PIXELS)))
    flow = flow_of_planes(luma, before, by)
    return enlarged_flow(flow, height / len(flow), width / flow.shape[1])


def _alike(change: Levels) -> Levels:
    """The change where it is about as large as most of the frame's; elsewhere something moved that
    was not followed."""
    around = cv2.GaussianBlur(np.abs(change), (0, 0), AROUND_PX)
    limit = 2.5 * float(np.median(around)) + 1
    share = np.clip(2 - around / limit, 0, 1 if limit <= MOST else 0)
    return np.asarray(change * share, np.float32)
