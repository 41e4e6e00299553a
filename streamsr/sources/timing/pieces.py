"""What a file carries beside its frames, as pieces of a stream at their places."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import av

from streamsr.media.source import AudioFrame, Piece, Subtitle
from streamsr.media.tracks.carried import Streams, TrackInfo, codec_of, lasting
from streamsr.sources.timing.stamps import PiecePlaces

__all__ = ["OtherPieces"]


class OtherPieces:
    """The packets of audio and subtitles as what a stream delivers."""

    def __init__(
        self, streams: Streams, tracks: Sequence[TrackInfo], heirs: Mapping[int, int]
    ) -> None:
        """``heirs``: by a stream's index that of the one in whose place it is."""
        self._heard = None if streams.audio is None else streams.audio.index
        self._streams = {track.index: track.stream for track in tracks}
        self._heirs = heirs
        self._places: dict[int, PiecePlaces] = {}

    def piece(self, packet: av.Packet[Any]) -> Iterator[Piece]:
        """Yields what a packet is, at its place."""
        index = packet.stream.index
        track = self._heirs.get(index, index)
        if packet.time_base is None or not packet.size:
            return
        if index not in self._streams:
            self._streams[index] = lasting(packet.stream)
        if index not in self._places:
            self._places[index] = PiecePlaces(self._streams[index])
        begins_s = float(self._places[index].begin_s(packet))
        packet.stream = self._streams[index]  # which decodes it, also once the file is closed
        if packet.stream.type == "audio":
            codec = codec_of(packet.stream)
            yield AudioFrame(begins_s, codec, packet, track=track, heard=track == self._heard)
        else:
            yield Subtitle(begins_s, track, packet)
