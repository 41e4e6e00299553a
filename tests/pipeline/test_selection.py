"""Which model a stream runs, and to which size, on machines of which the cost is known."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import pytest

from streamsr.core.config import dump
from streamsr.core.errors import ConfigError, ModelError
from streamsr.core.settings import (
    InputSettings,
    ModelSettings,
    OutputSettings,
    Quality,
    StreamSettings,
)
from streamsr.core.target_size import TargetSize
from streamsr.media.source import SourceInfo
from streamsr.networks.facts import Colour
from streamsr.pipeline.selection import Selection, Selector, family_for
from streamsr.zoo import registry
from streamsr.zoo.card import CARD_NAME, Card, FactsCard
from streamsr.zoo.registry import Entry

CAMERA = "rtsp://camera/sub"
SUB = SourceInfo(640, 360, Fraction(25), Fraction(1), "h264", "yuv420p")
HD = replace(SUB, width=1920, height=1080, rate=Fraction(15))
PIXELS = SUB.width * SUB.height


@dataclass
class Costs:
    """A machine whose figures are those of the test: ms of a frame of 640x360, by model."""

    network: dict[str, float]
    path: float = 0.0  # ms of a result of a megapixel
    cores: int = 2
    streams: int = 1
    threads: int = 2
    on_gpu: bool = False
    asked: list[str] = field(default_factory=list)  # models whose cost was asked for

    def network_ms(self, entry: Entry, width: int, height: int) -> float:
        self.asked.append(entry.name)
        return self.network[entry.name] * width * height / PIXELS

    def path_ms(self, width: int, height: int) -> float:
        return self.path * width * height / 1e6


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The families that there are, by their cards alone: no network is ever made."""
    folder = tmp_path / "models"
    monkeypatch.setattr(registry, "data_dir", lambda name: folder)
    for name, network, family, scale, lighter in (
        ("fast", "recurrent", "fast", 4, "fast-small"),
        ("fast-x2", "recurrent", "fast", 2, "fast-small"),
        ("fast-x3", "recurrent", "fast", 3, "fast-small"),
        ("fast-small", "fast", "fast-small", 4, None),
        ("fast-small-x2", "fast", "fast-small", 2, None),
        ("fast-camera", "recurrent", "fast-camera", 4, "fast-camera-small"),
        ("fast-camera-x2", "recurrent", "fast-camera", 2, "fast-camera-small"),
        ("fast-camera-x1", "recurrent", "fast-camera", 1, "fast-camera-small"),
        ("fast-camera-small", "fast", "fast-camera-small", 4, None),
        ("fast-camera-small-x2", "fast", "fast-camera-small", 2, None),
        ("live", "recurrent", "live", 4, "fast"),
        ("bicubic", "resample", "bicubic", 4, None),
        ("lanczos", "resample", "lanczos", 4, None),
    ):
        (folder / name).mkdir(parents=True)
        facts = FactsCard(
            scale=scale, window=1 + (network == "recurrent"), lookahead=0, colour=Colour.LUMA
        )
        card = Card(
            description="for tests", family=family, lighter=lighter, network=network, facts=facts
        )
        dump(card, folder / name / CARD_NAME)


def select(
    machine: Costs,
    info: SourceInfo = SUB,
    *,
    url: str = CAMERA,
    output: OutputSettings | None = None,
    kept: TargetSize | None = None,
    real_time: bool = True,
    **model: object,
) -> Selection:
    settings = StreamSettings(
        input=InputSettings(url=url),
        model=ModelSettings.model_validate({"name": "auto"} | model),
        output=output or OutputSettings(),
    )
    return Selector(settings, machine, real_time=real_time).select(info, kept)


def size_of(selection: Selection, info: SourceInfo = SUB) -> tuple[int, int]:
    return selection.target.of(info.width, info.height)


def names(selection: Selection) -> list[str]:
    return [entry.name for entry in selection.entries]


def costs(x4: float, x2: float, x1: float, small: float = 1e3, **more: object) -> Costs:
    network = {"fast-camera": x4, "fast-camera-x2": x2, "fast-camera-x1": x1}
    network |= {"fast-camera-small": small, "fast-camera-small-x2": small / 4}
    return Costs(network, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("codec", "size_bytes", "family"),
    [
        ("h264", None, "fast-camera"),  # a camera: how long it will be is not known
        ("ffv1", None, "fast"),
        ("png", None, "fast"),
        ("h264", 10 * PIXELS * 2 // 8, "fast"),  # two bits a pixel
        ("h264", 10 * PIXELS * 2 // 8 - 1, "fast-camera"),
    ],
)
def test_the_family_suits_how_a_source_is_coded(
    tmp_path: Path, codec: str, size_bytes: int | None, family: str
) -> None:
    url, info = CAMERA, replace(SUB, codec=codec)
    if size_bytes is not None:
        file = tmp_path / "clip.mp4"
        file.write_bytes(bytes(size_bytes))
        url, info = str(file), replace(info, frames=10)
    assert family_for(info, url) == family


def test_a_live_source_gets_the_largest_result_that_holds_with_a_quarter_in_reserve() -> None:
    """Of 80 CPU ms that two cores have for a frame of 25 a second, 60."""
    machine = costs(x4=61, x2=60, x1=5)
    chosen = select(machine)
    assert (names(chosen)[0], size_of(chosen)) == ("fast-camera-x2", (1280, 720))
    assert chosen.cpu_ms == 60
    assert chosen.why == (
        "fast-camera-x2 to 1280x720 takes 60 of the 60 CPU ms that a frame may take here "
        "(25 fps on 2 cores, a quarter in reserve); "
        "fast-camera-small to 2560x1440 would take 1000 CPU ms"
    )
    assert machine.asked == ["fast-camera", "fast-camera-small", "fast-camera-x2"], "best first"


def test_what_lies_beside_the_network_counts() -> None:
    chosen = select(costs(x4=40, x2=40, x1=5, path=20 / 3.6864))  # 20 ms at 2560x1440
    assert size_of(chosen) == (2560, 1440)
    chosen = select(costs(x4=40, x2=40, x1=5, path=21 / 3.6864))
    assert size_of(chosen) == (1280, 720)
    assert chosen.cpu_ms == pytest.approx(40 + 21 / 4)


def test_the_lighter_model_is_preferred_to_a_smaller_result() -> None:
    chosen = select(costs(x4=61, x2=5, x1=5, small=59))
    assert (names(chosen)[0], size_of(chosen)) == ("fast-camera-small", (2560, 1440))


@pytest.mark.parametrize(
    ("height", "scale"), [(180, 4), (360, 4), (361, 2), (720, 2), (721, 1), (1440, 1), (2160, 1)]
)
def test_no_default_result_has_more_than_1440_lines(height: int, scale: int) -> None:
    info = replace(SUB, width=height * 16 // 9, height=height)
    assert select(costs(x4=0, x2=0, x1=0, small=0), info).target == TargetSize(
        scale=Fraction(scale), even=True
    )


@pytest.mark.parametrize(
    ("output", "name", "size"),
    [
        ({"size": "720p"}, "fast-x2", (1280, 720)),
        ({"size": "1080p"}, "fast-x3", (1920, 1080)),
        ({"size": "4k"}, "fast", (3840, 2160)),  # plain scaling does the rest
        ({"size": "640"}, "fast-x2", (1138, 640)),
        ({"scale": 1.5}, "fast-x2", (960, 540)),
        ({"scale": 0.5}, "fast-x2", (320, 180)),
        ({"scale": 2.001}, "fast-x2", (1280, 720)),
        ({"scale": 2.1}, "fast-x3", (1344, 756)),
    ],
    ids=str,
)
@pytest.mark.parametrize("real_time", [True, False])
def test_the_smallest_member_that_reaches_the_size_runs(
    output: dict[str, object], name: str, size: tuple[int, int], real_time: bool
) -> None:
    machine = Costs(dict.fromkeys(("fast", "fast-x2", "fast-x3"), 1.0))
    asked = OutputSettings.model_validate(output)
    chosen = select(machine, name="fast", output=asked, real_time=real_time)
    assert (names(chosen)[0], size_of(chosen)) == (name, size)


def test_of_an_odd_source_the_same_member_reaches_the_even_size() -> None:
    info = replace(SUB, width=321, height=181)
    chosen = select(Costs({"fast-x2": 1}), info, name="fast", output=OutputSettings(scale=2))
    assert (names(chosen)[0], size_of(chosen, info)) == ("fast-x2", (642, 362))


def test_a_size_that_a_member_cannot_hold_is_reached_by_a_smaller_one() -> None:
    asked = OutputSettings(size="1440")
    chosen = select(costs(x4=61, x2=30, x1=5), output=asked)
    assert (names(chosen)[0], size_of(chosen)) == ("fast-camera-x2", (2560, 1440))


def test_a_size_that_is_kept_goes_before_what_is_asked_for() -> None:
    kept = TargetSize(scale=Fraction(2), even=True)
    machine = Costs({"fast-x2": 90, "fast": 10})
    chosen = select(machine, name="fast", output=OutputSettings(size="1080p"), kept=kept)
    assert (names(chosen)[0], chosen.target) == ("fast-x2", kept)


def test_a_size_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="output size x8"):
        select(costs(x4=0, x2=0, x1=0), HD, output=OutputSettings(scale=8))


def test_a_named_model_runs_itself_without_a_reserve() -> None:
    """Not its lighter one, which it only falls back to."""
    network = {"fast": 81.0, "fast-x3": 80.5, "fast-x2": 80.0, "fast-small": 1.0}
    chosen = select(Costs(network), name="fast")
    assert names(chosen) == ["fast-x2", "fast-small-x2", "bicubic"]
    assert "reserve" not in chosen.why


def test_a_named_model_runs_even_where_it_does_not_hold() -> None:
    network = {"fast": 900.0, "fast-x3": 500.0, "fast-x2": 300.0}
    chosen = select(Costs(network), name="fast")
    assert names(chosen)[0] == "fast-x2"
    assert chosen.why.endswith("takes 300 of the 80 CPU ms that a frame may take here "
                               "(25 fps on 2 cores): too much")  # fmt: skip


def test_a_named_member_runs_alone() -> None:
    chosen = select(Costs({"fast-x2": 900.0}), name="fast-x2")
    assert (names(chosen)[0], size_of(chosen)) == ("fast-x2", (1280, 720))


def test_a_model_that_there_is_not() -> None:
    with pytest.raises(ModelError, match="got 'fsat'"):
        select(Costs({}), name="fsat")


def test_where_no_network_holds_plain_scaling_does_and_says_so() -> None:
    chosen = select(costs(x4=1e3, x2=500, x1=100))
    assert (names(chosen), size_of(chosen)) == (["bicubic"], (2560, 1440))
    assert chosen.why == (
        "no network holds: fast-camera-x1 to 640x360 takes 100 of the 60 CPU ms that a frame may "
        "take here (25 fps on 2 cores, a quarter in reserve): too much"
    )


@pytest.mark.parametrize(("x1", "name"), [(72, "fast-camera-x1"), (73, "bicubic")])
def test_a_network_that_leaves_a_tenth_is_better_than_none(x1: float, name: str) -> None:
    """A tenth of 80 ms."""
    chosen = select(costs(x4=1e3, x2=500, x1=x1))
    assert names(chosen)[0] == name


def test_plain_scaling_takes_the_largest_size_that_it_holds() -> None:
    chosen = select(costs(x4=1e3, x2=1e3, x1=1e3, path=25.0))  # 60 ms: 2.4 megapixels
    assert (names(chosen), size_of(chosen)) == (["bicubic"], (1920, 1080))
    asked = select(costs(x4=1e3, x2=1e3, x1=1e3, path=25.0), output=OutputSettings(size="4k"))
    assert (names(asked), size_of(asked)) == (["bicubic"], (3840, 2160))


def test_a_gpu_takes_no_cores_but_its_own_time() -> None:
    """Of 40 ms a frame, 30."""
    machine = costs(x4=31, x2=30, x1=1, cores=2, threads=1, on_gpu=True)
    chosen = select(machine)
    assert names(chosen)[0] == "fast-camera-x2"
    assert "30 of the 30 ms of the GPU" in chosen.why
    assert chosen.cpu_ms is None


def test_several_streams_share_a_machine() -> None:
    for on_gpu, x2 in ((False, 30), (True, 15)):
        machine = costs(x4=61, x2=x2, x1=1, streams=2, threads=2 - on_gpu, on_gpu=on_gpu)
        assert names(select(machine))[0] == "fast-camera-x2"
        machine.streams = 3
        assert names(select(machine))[0] == "fast-camera-x1"


def test_the_steps_of_a_recurrent_network_take_four_threads_at_most() -> None:
    """They follow one another: of 32 cores a stream has no more use."""
    machine = costs(x4=121, x2=120, x1=1, cores=32, threads=8)
    assert names(select(machine))[0] == "fast-camera-x2", "four threads, 30 ms each"
    machine = costs(x4=400, x2=400, x1=1, small=240, cores=32, threads=8)
    assert names(select(machine))[0] == "fast-camera-small", "eight frames at once"
    machine = costs(x4=400, x2=400, x1=1, small=241, cores=32, threads=8)
    assert names(select(machine))[0] == "fast-camera-small-x2"


@pytest.mark.parametrize(
    ("fallback", "expected"),
    [
        (["bicubic"], ["fast-camera-x2", "fast-camera-small-x2", "bicubic"]),
        (["lanczos", "fast"], ["fast-camera-x2", "fast-camera-small-x2", "lanczos", "fast-x2"]),
        (["fast-camera-small"], ["fast-camera-x2", "fast-camera-small-x2"]),
        ([], ["fast-camera-x2"]),
    ],
    ids=str,
)
def test_it_falls_back_to_lighter_members_of_its_scale_first(
    fallback: list[str], expected: list[str]
) -> None:
    assert names(select(costs(x4=61, x2=60, x1=5), fallback=fallback)) == expected


def test_a_filter_that_is_named_needs_nothing_to_fall_back_on() -> None:
    chosen = select(Costs({}), name="bicubic")
    assert (names(chosen), size_of(chosen), chosen.cpu_ms) == (["bicubic"], (2560, 1440), None)


@pytest.mark.parametrize(
    ("size", "name", "expected"),
    [
        ((320, 180), "fast", (1280, 720)),
        ((640, 360), "fast", (2560, 1440)),
        ((704, 576), "fast-x3", (1760, 1440)),
        ((1280, 720), "fast-x2", (2560, 1440)),
        ((1920, 1080), "fast-x2", (2560, 1440)),
        ((2560, 1600), "fast-x2", (2560, 1600)),
    ],
    ids=str,
)
def test_a_file_becomes_four_times_as_large_up_to_1440_lines(
    size: tuple[int, int], name: str, expected: tuple[int, int]
) -> None:
    """By the model that is asked for, whatever it costs, which nobody asks."""
    machine = Costs({})
    info = replace(SUB, width=size[0], height=size[1], codec="ffv1")
    for model in ("auto", "fast"):
        chosen = select(machine, info, name=model, real_time=False, url="clip.mkv")
        assert (names(chosen), size_of(chosen, info)) == ([name], expected)
    assert machine.asked == []


@pytest.mark.parametrize(
    ("codec", "name", "why"),
    [
        ("h264", "auto", "fast-camera suits h264 of 0.25 bits a pixel"),
        ("hevc", "auto", "fast-camera suits hevc of 0.25 bits a pixel"),
        ("ffv1", "auto", "fast suits ffv1"),
        ("h264", "fast", "the model that is asked for runs"),
    ],
)
def test_it_says_of_a_file_why_its_family_runs(
    tmp_path: Path, codec: str, name: str, why: str
) -> None:
    file = tmp_path / "clip.mkv"
    file.write_bytes(bytes(10 * PIXELS // 32))
    info = replace(SUB, codec=codec, frames=10)
    asked = OutputSettings(scale=2)
    given = select(Costs({}), info, url=str(file), output=asked, name=name, real_time=False)
    assert given.why == f"a file can wait: {why}"
    unasked = select(Costs({}), info, url=str(file), name=name, real_time=False)
    assert unasked.why == f"{given.why}; no size is asked for: 4 times, up to 1440 lines"


@pytest.mark.parametrize(
    ("name", "codec", "scale", "expected"),
    [
        ("auto", "png", 4, "live"),
        ("auto", "png", 2, "fast-x2"),  # which it has no member for
        ("auto", "h264", 4, "fast-camera"),
        ("fast", "png", 4, "fast"),
    ],
)
def test_the_best_quality_of_clean_files_is_of_the_largest_network(
    name: str, codec: str, scale: int, expected: str
) -> None:
    chosen = select(
        Costs({}),
        replace(SUB, codec=codec),
        output=OutputSettings(scale=scale),
        name=name,
        quality=Quality.BEST,
        real_time=False,
        url="clip",
    )
    assert names(chosen) == [expected]


def test_only_frames_in_a_folder_may_have_odd_sides() -> None:
    info = replace(SUB, width=107, height=61)
    for path, expected in (("out", (107, 61)), ("out.mp4", (106, 60))):
        output = OutputSettings(scale=1, path=Path(path))
        chosen = select(Costs({}), info, output=output, name="fast", real_time=False, url="a.mkv")
        assert size_of(chosen, info) == expected
