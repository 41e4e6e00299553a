"""HLS in a folder: playlist, header and fMP4 segments (RFC 8216), and what is left of earlier runs.

It names files and removes those of earlier sessions, once a playlist without them is there. It
never touches a file that is not named as its own are.
"""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from streamsr.core.packet import Packet
from streamsr.core.status import OutputState
from streamsr.ipc.messages import OutputFormat
from streamsr.outputs.mux_session import LATE_AUDIO_S, Muxer, MuxTarget

__all__ = ["PLAYLIST", "HlsWriter"]

PLAYLIST = "index.m3u8"
ENOUGH = 3  # segments: players begin so many before the end, and Chromium fails on fewer
FLAGS = "delete_segments+independent_segments+program_date_time+temp_file+omit_endlist"
NUMBERED = re.compile(r"(?:init|seg)_(\d{1,18})\.(?:mp4|m4s)(?:\.tmp)?")
SEQUENCE = re.compile(r"^#EXT-X-MEDIA-SEQUENCE:(\d{1,18})$", re.MULTILINE)
END = "#EXT-X-ENDLIST\n"


class HlsWriter:
    """Writes one stream as HLS. Every session's segments are numbered above those before them."""

    def __init__(self, folder: Path, segment_s: float, segments: int) -> None:
        """``segments`` is how many the playlist has at most."""
        self._folder = folder
        self._segment_s = segment_s
        self._segments = segments
        self._muxer = Muxer(self._next_target)
        self._first = 0  # the number of the session's first segment; 0: none has begun
        self._playable = False  # players find enough of this session to begin with

    @property
    def state(self) -> OutputState:
        """UP once players can begin."""
        return OutputState.UP if self._playable else OutputState.STARTING

    def write(self, packet: Packet, stream: OutputFormat) -> None:
        """Writes a packet of a stream that is as ``stream`` says."""
        self._muxer.write(packet, stream)

    def check(self) -> None:
        """Looks whether players can begin, and removes what earlier sessions left.

        That goes as soon as no playlist names it any more. To be called a few times a second.
        """
        if self._playable or not self._is_listed():
            return
        self._playable = self._playlist().count("#EXTINF:") >= ENOUGH
        for path, number in self._files():
            if number < self._first:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Finishes the playlist, and tells players that there will be no more."""
        self._muxer.close()
        self.check()
        playlist, text = self._folder / PLAYLIST, self._playlist()
        if self._is_listed() and text and not text.endswith(END):
            ended = playlist.with_suffix(".tmp")
            with suppress(OSError):
                ended.write_text(text + END, encoding="utf-8")
                ended.replace(playlist)

    def _next_target(self) -> MuxTarget:
        """Returns where the next session goes."""
        again = self._first > 0
        highest = max((number for _, number in self._files()), default=-1)
        self._first = max(int(time.time()), highest + 1, self._first_listed() + 1)
        self._playable = False
        return MuxTarget(
            str(self._folder / PLAYLIST),
            "hls",
            {
                "hls_segment_type": "fmp4",
                "hls_time": str(self._segment_s),
                "hls_list_size": str(self._segments),
                "hls_flags": f"{FLAGS}+discont_start" if again else FLAGS,
                "hls_segment_filename": str(self._folder / "seg_%d.m4s"),
                "hls_fmp4_init_filename": f"init_{self._first}.mp4",
                "start_number": str(self._first),
            },
            late_audio_s=LATE_AUDIO_S,  # browsers play no further than either track goes
        )

    def _is_listed(self) -> bool:
        """Returns whether the playlist is this session's."""
        return 0 < self._first <= self._first_listed()

    def _first_listed(self) -> int:
        match = SEQUENCE.search(self._playlist())
        return int(match.group(1)) if match else -1

    def _files(self) -> Iterator[tuple[Path, int]]:
        for path in list(self._folder.iterdir()):
            match = NUMBERED.fullmatch(path.name)
            if match is not None and not path.is_dir():
                yield path, int(match.group(1))

    def _playlist(self) -> str:
        try:
            return (self._folder / PLAYLIST).read_text(encoding="utf-8")
        except OSError:
            return ""
