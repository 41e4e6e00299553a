"""How many bits a sample of what was decoded keeps: decided once, before it becomes a frame.

HDR that becomes 8 bits is made BT.709, quickly enough for live sources: the curve of
``tone_curve.py`` is tabulated once over R'G'B', and FFmpeg looks it up.
"""

import logging
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from streamsr.core.frame import ColourTags
from streamsr.media.pixels import FORMATS, bits_of, colour_of, convertible, hdr_metadata, in_depth
from streamsr.media.tone_curve import HDR_TRANSFERS, PQ, USUAL_PEAK, WHITE, sdr_signal

__all__ = ["DepthConverter", "ToneMapper"]

logger = logging.getLogger("streamsr")

DEEP = 10  # bits of what has more than 8
FINE, QUICK = 65, 33  # values of each of R', G' and B' in the table
MATRICES = {1: "bt709", 4: "fcc", 5: "bt470", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}


class DepthConverter:
    """Makes one source's images what its frames are to hold."""

    def __init__(self, bits: int | None = 8, *, waits: bool = True) -> None:
        """``bits`` are 8, which is SDR then, or 10; None: 8 where the first image has no more and
        is SDR. ``waits``: see ``ToneMapper``."""
        self._bits = bits
        self._mapper = ToneMapper(waits=waits)

    def converted(self, image: av.VideoFrame) -> av.VideoFrame:
        """Returns the image in the source's depth. Raises InputError where FFmpeg cannot."""
        colour = colour_of(image)
        is_hdr = colour.transfer in HDR_TRANSFERS
        if self._bits is None:
            self._bits = DEEP if is_hdr or bits_of(image) > 8 else 8
        if is_hdr and self._bits == 8:
            return self._mapper.mapped(image, colour)
        if image.format.name in FORMATS and (bits_of(image) == 8) == (self._bits == 8):
            return image
        if self._bits == 8 and image.format.name not in FORMATS:
            return image  # a frame is 8 bits of it in any case
        return in_depth(image, colour, self._bits)


class ToneMapper:
    """Makes SDR of one source's HDR images, one after the other.

    ``waits``: the source can, for as long as a fine table takes; a camera would seem to stall, for
    seconds on a busy machine.
    """

    def __init__(self, *, waits: bool = True) -> None:
        self._size = FINE if waits else QUICK
        self._graph = av.filter.Graph()
        self._made_for: object = None  # what the graph takes

    def mapped(self, image: av.VideoFrame, tags: ColourTags) -> av.VideoFrame:
        """Returns an HDR image, of any pixel format, in 8 bits 4:2:0 of BT.709.

        ``tags`` say how its samples mean colours; its transfer is one of ``HDR_TRANSFERS``.
        """
        peak = _peak_of(image) if tags.transfer == PQ else USUAL_PEAK
        wanted = (image.width, image.height, image.format.name, tags, peak)
        with convertible(image):
            if wanted != self._made_for:
                self._graph = _graph(image, tags, peak, self._size)
                self._made_for = wanted
            self._graph.vpush(image)
            return self._graph.vpull()


def _peak_of(image: av.VideoFrame) -> float:
    """The most light there is in an image, in cd/m², as far as it says."""
    said = hdr_metadata(image)
    peaks = [] if said is None else [said.luminance[1] / 10_000 if said.luminance else 0.0]
    peaks += [float(said.content_light[0])] if said and said.content_light else []
    stated = [peak for peak in peaks if peak > 0]
    return float(np.clip(min(stated, default=USUAL_PEAK), WHITE, 10_000))


def _graph(image: av.VideoFrame, tags: ColourTags, peak: float, size: int) -> av.filter.Graph:
    span = "pc" if tags.full_range else "tv"
    matrix = MATRICES.get(tags.matrix, "bt2020")
    graph = av.filter.Graph()
    with TemporaryDirectory(prefix="streamsr-") as folder:
        table = Path(folder) / "curve.cube"
        table.write_text(_cube(tags.transfer, peak, size), encoding="ascii")
        filters = [
            graph.add_buffer(
                width=image.width,
                height=image.height,
                format=image.format,
                time_base=image.time_base,
            ),
            graph.add("scale", in_color_matrix=matrix, in_range=span, flags="bicubic+accurate_rnd"),
            graph.add("format", "gbrp16le"),
            graph.add("lut3d", file=str(table), interp="tetrahedral"),
            graph.add("setparams", color_primaries="bt709", color_trc="bt709"),
            graph.add("scale", out_color_matrix="bt709", out_range="tv", flags="bicubic"),
            graph.add("format", "yuv420p"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*filters).configure()
    return graph


@lru_cache(maxsize=2)  # a camera that comes back has the same
def _cube(transfer: int, peak: float, size: int) -> str:
    """The curve as a table of Iridas' format, red the quickest to change."""
    logger.info(
        "%s of up to %.0f cd/m² is tone-mapped to BT.709 in 8 bits (ITU-R BT.2390)",
        *(HDR_TRANSFERS[transfer], peak),
    )
    steps = np.linspace(0, 1, size)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1)[..., ::-1]
    table = sdr_signal(grid.reshape(-1, 3), transfer, peak)
    return f"LUT_3D_SIZE {size}\n" + "%.5f %.5f %.5f\n" * len(table) % tuple(table.ravel())
