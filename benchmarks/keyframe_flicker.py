"""What spreading the flicker of keyframes does to coded streams of clips whose scene is known.

    python benchmarks/keyframe_flicker.py CLIP...

Luma PSNR of frames, of their changes, and of the changes at keyframes: as sent, and by how much
`streamsr.pipeline.keyframe_flicker` changes it.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from itertools import islice, product
from math import log10
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamsr.core.frame import Frame
from streamsr.engine.resample import resize_frame
from streamsr.media.camera_codec import CameraCoding, coded
from streamsr.pipeline.keyframe_flicker import FlickerFilter
from streamsr.sources.opening import file_frames

FRAMES, GOP, SIZE = 40, 12, (320, 180)
CODECS: tuple[Literal["h264", "h265"], ...] = ("h264", "h265")
RATES_KBIT_S = (64, 128, 256, 512)

Levels = NDArray[np.float64]


def levels(frames: Sequence[Frame]) -> Levels:
    return np.stack([frame.planes[0] for frame in frames]).astype(np.float64)


def measures(frames: Levels, truth: Levels) -> list[float]:
    """In dB: of frames, of their changes, of the changes at keyframes."""
    errors = frames - truth
    changes = np.square(np.diff(errors, axis=0))
    at_keyframes = changes[GOP - 1 :: GOP]
    means = (np.square(errors).mean(), changes.mean(), at_keyframes.mean())
    return [10 * log10(255**2 / float(mean)) for mean in means]


def row(name: str, sent: Sequence[Frame], shown: Sequence[Frame], truth: Levels) -> str:
    cells = [
        f"{before:.2f} {after - before:+.2f}"
        for before, after in zip(
            measures(levels(sent), truth), measures(levels(shown), truth), strict=True
        )
    ]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    cpu_s, count = 0.0, 0
    sys.stdout.write("| stream | PSNR | of changes | at keyframes |\n| --- | --- | --- | --- |\n")
    for path in parser.parse_args().clips:
        clip = [resize_frame(frame, *SIZE) for frame in islice(file_frames(path), FRAMES)]
        for codec, kbit_s in product(CODECS, RATES_KBIT_S):
            sent = list(coded(clip, CameraCoding(codec, kbit_s, GOP)))
            flicker, began_s = FlickerFilter(), time.process_time()
            shown = [flicker.steadied(frame) for frame in sent]
            cpu_s += time.process_time() - began_s
            count += len(sent)
            name = f"{path.stem} {codec} {kbit_s}"
            sys.stdout.write(row(name, sent, shown, levels(clip)) + "\n")
    sys.stdout.write(f"\n{1000 * cpu_s / count:.1f} CPU ms a frame\n")


if __name__ == "__main__":
    main()
