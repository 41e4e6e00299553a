"""A publisher by WHIP: FFmpeg's, in a process of its own, as it holds the interpreter.

Run as ``python whip_publisher.py ADDRESS CLIP CERTIFICATE KEY [TOKEN]``: it publishes the clip over
and over in real time, and prints "published" once it does. Audio is encoded as Opus.
"""

import sys
import time
from fractions import Fraction

import av


def main(address: str, clip: str, certificate: str, key: str, token: str = "") -> None:
    options = {"cert_file": certificate, "key_file": key}
    options |= {"authorization": token} if token else {}
    av.logging.set_level(av.logging.ERROR)
    with av.open(address, "w", format="whip", options=options) as out:
        video = out.add_stream("libx264", rate=25)
        with av.open(clip) as source:
            shape = source.streams.video[0]
            video.width, video.height, video.pix_fmt = shape.width, shape.height, "yuv420p"
        video.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}
        video.codec_context.gop_size, video.codec_context.max_b_frames = 25, 0
        audio = out.add_stream("libopus", rate=48_000, layout="stereo")
        resampler = av.AudioResampler("s16", "stereo", 48_000, 960)
        out.start_encoding()
        sys.stdout.write("published\n")
        sys.stdout.flush()
        begun_s, shown, heard = time.monotonic(), 0, 0
        while True:
            with av.open(clip) as source:
                for frame in source.decode():
                    if isinstance(frame, av.VideoFrame):
                        time.sleep(max(0.0, begun_s + shown / 25 - time.monotonic()))
                        frame.pts, frame.time_base, shown = shown, Fraction(1, 25), shown + 1
                        frame.pict_type = 0
                        out.mux(video.encode(frame))
                        continue
                    frame.pts = None
                    for piece in resampler.resample(frame):
                        piece.pts, piece.time_base = heard, Fraction(1, 48_000)
                        heard += piece.samples
                        out.mux(audio.encode(piece))


if __name__ == "__main__":
    main(*sys.argv[1:])
