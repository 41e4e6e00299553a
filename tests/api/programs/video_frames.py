"""PyAV decodes and encodes; time stamps and colours go along."""

from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO

import av
import numpy as np

import streamsr


def decoded() -> Iterator[av.VideoFrame]:
    for number in range(10):
        frame = av.VideoFrame.from_ndarray(np.full((24, 32, 3), 20 * number, np.uint8), "rgb24")
        frame = frame.reformat(format="yuv420p")
        frame.pts, frame.time_base = 3600 * number, Fraction(1, 90_000)
        yield frame


file = BytesIO()
with (
    streamsr.Upscaler("bicubic", size=48) as upscaler,
    av.open(file, "w", format="matroska") as output,
):
    stream = output.add_stream("libx264", rate=25)
    stream.pix_fmt = "yuv420p"
    stream.width, stream.height = upscaler.size_of(32, 24)
    stream.time_base = Fraction(1, 90_000)
    times = []
    for frame in upscaler.map(decoded()):
        times.append(frame.pts)
        assert frame.format.name == "yuv420p"
        output.mux(stream.encode(frame))
    output.mux(stream.encode())
assert times == [frame.pts for frame in decoded()]
assert (stream.width, stream.height) == (64, 48)
