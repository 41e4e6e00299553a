"""Which tracks of a container are read: as a player would choose, or as they are named."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from peers.odd import two_programmes

from streamsr.core.errors import SourceError
from streamsr.media.tracks.carried import Streams, carried_by, start_of, streams_of

DEFAULT = int(Disposition.default)


def made(
    path: Path, videos: Sequence[int], audios: Sequence[int], languages: Sequence[str] = ()
) -> Path:
    """A container of one second with tracks of these dispositions, videos 16 wider each."""
    with av.open(str(path), "w") as out:
        streams: list[av.VideoStream | av.AudioStream] = []
        for number, marks in enumerate(videos):
            video = out.add_stream("mpeg2video", rate=25)
            video.width, video.height, video.pix_fmt = 64 + 16 * number, 48, "yuv420p"
            video.disposition = Disposition(marks)
            streams.append(video)
        for number, marks in enumerate(audios):
            audio = out.add_stream("mp2", rate=48_000, layout="stereo")
            audio.disposition = Disposition(marks)
            audio.metadata["language"] = languages[number] if languages else "und"
            streams.append(audio)
        for tick in range(25):
            for stream in streams:
                if isinstance(stream, av.VideoStream):
                    luma = np.full((72, stream.width), 90, np.uint8)
                    image = av.VideoFrame.from_ndarray(luma, "yuv420p")
                    image.pts, image.time_base = tick, Fraction(1, 25)
                    out.mux(stream.encode(image))
                else:
                    samples = av.AudioFrame("s16", "stereo", 1920)
                    samples.sample_rate, samples.pts = 48_000, tick * 1920
                    out.mux(stream.encode(samples))
        for stream in streams:
            out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("audio_in", "heard"), [(1, True), (2, False)])
def test_audio_is_of_the_videos_programme(tmp_path: Path, audio_in: int, heard: bool) -> None:
    path = two_programmes(tmp_path / "in.ts", audio_in)
    with av.open(str(path)) as container:
        assert len(container.streams) == 3
        marks = [stream.disposition for stream in container.streams]
        streams = streams_of(container)
        assert streams.video.width == 64
        assert (streams.audio is not None) is heard
        assert len(streams.left_out) == (1 if heard else 2)
        second = streams_of(container, video=1)
        assert (second.audio is not None) is not heard
        assert [stream.disposition for stream in container.streams] == marks


def chosen(path: Path, **named: int) -> Streams:
    with av.open(str(path)) as container:
        return streams_of(container, **named)


def test_the_default_tracks_are_taken_and_all_audio_kept(tmp_path: Path) -> None:
    path = made(tmp_path / "in.mkv", [0, DEFAULT], [0, DEFAULT, 0], ["eng", "deu", "fra"])
    with av.open(str(path)) as container:
        streams = streams_of(container)
        assert streams.audio is not None
        assert (streams.video.width, streams.audio.language) == (80, "deu")
        carried = carried_by(container, streams, start_of(container, streams))
    assert streams.left_out == ("video 0 (mpeg2video)",)
    assert [(t.index, t.tags["language"], t.disposition) for t in carried.tracks] == [
        (2, "eng", 0),
        (3, "deu", DEFAULT),
        (4, "fra", 0),
    ]


def test_audio_for_the_impaired_is_not_the_first_choice(tmp_path: Path) -> None:
    path = made(tmp_path / "in.mkv", [0], [int(Disposition.visual_impaired), 0])
    with av.open(str(path)) as container:
        audio = streams_of(container).audio
        assert audio is not None
        assert audio.index == 2


def test_named_tracks_are_taken_alone(tmp_path: Path) -> None:
    path = made(tmp_path / "in.mkv", [DEFAULT, 0], [DEFAULT, 0])
    with av.open(str(path)) as container:
        streams = streams_of(container, video=1, audio=1)
        assert streams.video.width == 80
        assert [stream.index for stream in streams.kept] == [3]
        assert streams.left_out == ("video 0 (mpeg2video)", "audio 0 (mp2)")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"video": 2}, "got --video 2, allowed is 0 to 1"),
        ({"audio": 1}, "got --audio 1, allowed is 0"),
    ],
)
def test_a_number_too_high_says_what_there_is(
    tmp_path: Path, named: dict[str, int], message: str
) -> None:
    path = made(tmp_path / "in.mkv", [0, 0], [0])
    with pytest.raises(SourceError, match=message):
        chosen(path, **named)


def test_audio_is_named_of_a_file_without_any(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="got --audio 0, but there is no audio in it"):
        chosen(made(tmp_path / "in.mkv", [0], []), audio=0)
