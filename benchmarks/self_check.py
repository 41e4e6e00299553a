"""What a self-check says of coded streams, beside what is true.

Clips whose scene is known are shrunk and coded, upscaled by each model, and checked.

    python benchmarks/self_check.py --scale 2 --model fast-x2 --model fast-small-x2 CLIP...

Each clip as H.264 and H.265 at six rates; sensor noise, GOP and preset of each stream are drawn.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice, product
from pathlib import Path
from statistics import fmean, median
from typing import Literal

import numpy as np
import torch

from streamsr.core.events import Event
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.core.target_size import TargetSize
from streamsr.engine.base import ModelEngine, StreamRequest
from streamsr.engine.engines import Engines
from streamsr.engine.resample import resize_frame
from streamsr.media.camera_codec import CameraCoding, QuantiserSearch
from streamsr.pipeline.comparison import MARGIN_DB, NothingToCompareError, ShrunkClip
from streamsr.pipeline.self_check import COUNTED, MEMORIES
from streamsr.sources.opening import file_frames
from streamsr.train.degrade import Recipe, degraded
from streamsr.zoo.registry import find

FRAMES = 24
CODECS: tuple[Literal["h264", "h265"], ...] = ("h264", "h265")
RATES = (48.0, 96.0, 192.0, 384.0, 768.0, 2048.0)  # kbit/s of 320x180
CLEAR_DB = 0.1  # a gain or loss that counts


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def recipes(random: np.random.Generator) -> Iterator[Recipe]:
    for codec, kbit_s in product(CODECS, RATES):
        noise, gop = (int(random.choice(values)) for values in ((0, 2, 5), (12, 50, 100)))
        preset = str(random.choice(("ultrafast", "veryfast", "medium")))
        coding = CameraCoding(codec, kbit_s, gop, preset)
        yield Recipe(coding, noise=noise, seed=int(random.integers(1 << 30)))


def upscaled(engine: ModelEngine, frames: Sequence[Frame], size: tuple[int, int]) -> list[Frame]:
    def told(event: Event) -> None:
        raise RuntimeError(event.message)

    stream = engine.stream(StreamRequest("benchmark", Meter(), told, target=TargetSize(*size)))
    done = [future.result() for frame in frames for future in stream.push(frame)]
    return done + [future.result() for future in stream.flush()]


def error(frames: Sequence[Frame], truth: Sequence[Frame]) -> float:
    """Mean squared error of luma, in levels, once a recurrent network has its memory."""
    pairs = list(zip(frames, truth, strict=True))[MEMORIES:]
    return fmean(
        float(np.square(np.subtract(a.planes[0], b.planes[0], dtype=np.float32)).mean())
        for a, b in pairs
    )


def checked_db(engine: ModelEngine, sent: Sequence[Frame], scale: int) -> float | None:
    """The median of what checks of a stream say; None where they say nothing."""
    search, length, gains_db = QuantiserSearch(), MEMORIES + COUNTED, []
    for start in range(0, len(sent) - length + 1, length):
        try:
            clip = ShrunkClip.of(sent[start : start + length], Fraction(scale), search)
            size = clip.truth[0].width, clip.truth[0].height
            shown = upscaled(engine, clip.small, size)
            gains_db.append(clip.gain_db(shown, slice(MEMORIES, length)))
        except NothingToCompareError as reason:
            say(f"  not checked: {reason}")
    return median(gains_db) if gains_db else None


def summary(name: str, pairs: Sequence[tuple[float, float]]) -> str:
    """A row of the table: true and checked gains of one model."""
    losing = [checked for true, checked in pairs if true < -CLEAR_DB]
    winning = [checked for true, checked in pairs if true > CLEAR_DB]
    left = [sum(checked < -MARGIN_DB for checked in some) for some in (losing, winning)]
    steered = fmean(0.0 if checked < -MARGIN_DB else true for true, checked in pairs)
    return (
        f"| {name} | {len(pairs)} | {left[0]} of {len(losing)} | {left[1]} of {len(winning)} | "
        f"{fmean(true for true, _ in pairs):+.2f} | {steered:+.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--model", action="append", required=True)
    arguments = parser.parse_args()
    scale, random = arguments.scale, np.random.default_rng(0)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in arguments.model}
    with Engines(torch.device("cpu")) as engines:
        loaded = {name: engines.load(find(name)) for name in arguments.model}
        for path in arguments.clips:
            frames = islice(file_frames(path), FRAMES)
            truth = [frame.cropped(4 * scale) for frame in frames]
            size = truth[0].width, truth[0].height
            for recipe in recipes(random):
                sent = list(degraded(truth, scale, recipe))
                plain = error([resize_frame(frame, *size) for frame in sent], truth)
                say(f"{path.stem}: {recipe}")
                for name, engine in loaded.items():
                    ours = error(upscaled(engine, sent, size), truth)
                    true_db, checked = (
                        10 * math.log10(plain / ours),
                        checked_db(engine, sent, scale),
                    )
                    if checked is not None:
                        say(f"  {name}: {true_db:+.2f} dB, checked {checked:+.2f} dB")
                        found[name].append((true_db, checked))
    say("| model | streams | losing, left | winning, left | always dB | steered dB |")
    say("| --- | --- | --- | --- | --- | --- |")
    for name, pairs in found.items():
        say(summary(name, pairs))


if __name__ == "__main__":
    main()
