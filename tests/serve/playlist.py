"""HLS in fragmented MP4 as an output writes it: a playlist, an initial part and segments."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from peers import scene

__all__ = ["SIZE", "make_playlist"]

SIZE = 320, 180
FPS = 25


def make_playlist(folder: Path, seconds: int = 4) -> Path:
    """Write so many segments of a second each; give the folder."""
    folder.mkdir(exist_ok=True)
    options = {
        "hls_time": "1",
        "hls_list_size": "0",
        "hls_segment_type": "fmp4",
        "hls_fmp4_init_filename": "init.mp4",
        "hls_segment_filename": str(folder / "segment_%d.m4s"),
    }
    with av.open(folder / "index.m3u8", "w", format="hls", options=options) as out:
        video = out.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        video.gop_size, video.max_b_frames = FPS, 0
        video.options = {"preset": "ultrafast"}
        for number, planes in enumerate(scene(*SIZE, seconds * FPS)):
            frame = av.VideoFrame(*SIZE, "yuv420p")
            for plane, pixels in zip(frame.planes, planes, strict=True):
                rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
                rows[:, : pixels.shape[1]] = pixels
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return folder
