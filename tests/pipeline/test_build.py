"""From settings to a pipeline that chooses its models itself, on this machine."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from streamsr.core.errors import ConfigError, ModelError
from streamsr.core.settings import (
    EncoderSettings,
    InputSettings,
    LimitSettings,
    ModelSettings,
    OutputSettings,
    RecordSettings,
    StreamSettings,
)
from streamsr.core.status import StreamStatus
from streamsr.engine.engines import Engines
from streamsr.media.encoder_options import filled
from streamsr.pipeline.build import choose_by, open_pipeline
from streamsr.pipeline.machine import Machine
from streamsr.zoo.registry import find


@pytest.fixture
def engines() -> Iterator[Engines]:
    with Engines(torch.device("cpu")) as made:
        yield made


def settings(
    url: str = "demo:", *, output: OutputSettings | None = None, **model: object
) -> StreamSettings:
    return StreamSettings(
        name="test",
        input=InputSettings(url=url),
        model=ModelSettings.model_validate(model),
        output=output or OutputSettings(),
        limits=LimitSettings(frames=4),
    )


def run(wanted: StreamSettings, engines: Engines, *, paced: bool = False) -> StreamStatus:
    with open_pipeline(wanted, lambda event: None, engines=engines, paced=paced) as pipeline:
        return asyncio.run(asyncio.wait_for(pipeline.run(), 100))


def test_a_file_is_upscaled_to_the_size_that_is_asked_for(
    clip: Callable[..., Path], engines: Engines
) -> None:
    wanted = settings(str(clip()), output=OutputSettings(size="1080p"), name="fast-small")
    summary = run(wanted, engines)
    assert (summary.model, summary.input, summary.output) == ("fast-small", "320x180", "1920x1080")
    assert summary.precision == engines.speed.quickest(find("fast-small"))
    assert "a file can wait" in summary.why


def test_networks_compute_in_what_is_asked_for(clip: Callable[..., Path], engines: Engines) -> None:
    wanted = settings(str(clip()), name="fast-small", precision="float32")
    assert run(wanted, engines).precision == "float32"
    filtered = settings(str(clip()), name="bicubic", precision="bfloat16")
    assert run(filtered, engines).model == "bicubic"


def test_what_is_paced_runs_what_this_machine_holds(
    clip: Callable[..., Path], engines: Engines
) -> None:
    summary = run(settings(str(clip()), name="auto"), engines, paced=True)
    assert f"{summary.wanted} to" in summary.why or "no network holds" in summary.why
    assert "CPU ms that a frame may take here" in summary.why


def test_a_model_that_there_is_not_is_refused_before_the_source_is_opened(
    engines: Engines,
) -> None:
    with pytest.raises(ModelError, match="got 'fsat'"):
        choose_by(settings(name="fsat"), engines, real_time=True)


def images_of(path: Path) -> list[bytes]:
    return [image.read_bytes() for image in sorted(path.glob("*.png"))]


def test_images_are_upscaled_in_several_passes_where_nobody_says_otherwise(
    clip: Callable[..., Path], engines: Engines, tmp_path: Path
) -> None:
    made = {}
    for quality in ("auto", "usual", "best"):
        output = OutputSettings(path=tmp_path / quality)
        summary = run(settings(str(clip()), output=output, name="fast", quality=quality), engines)
        assert ("several passes" in summary.why) == (quality != "usual")
        made[quality] = images_of(tmp_path / quality)
    assert len(made["auto"]) == 4
    assert made["auto"] == made["best"]
    assert made["auto"] != made["usual"]


@pytest.mark.parametrize("name", ["bicubic", "none"])
def test_a_filter_takes_one_pass(
    clip: Callable[..., Path], engines: Engines, tmp_path: Path, name: str
) -> None:
    """Of images, too, and in floats whatever networks are to compute in."""
    output = OutputSettings(path=tmp_path / "out")
    made = run(settings(str(clip()), output=output, name=name, precision="int8"), engines)
    assert (made.model, "passes" in made.why) == (name, False)


def test_a_video_is_upscaled_in_one_pass_where_nobody_says_otherwise(
    clip: Callable[..., Path], engines: Engines, tmp_path: Path
) -> None:
    output = OutputSettings(path=tmp_path / "out.mp4")
    assert "passes" not in run(settings(str(clip()), output=output, name="fast"), engines).why


def test_what_is_in_real_time_has_no_time_for_the_best_quality(engines: Engines) -> None:
    with pytest.raises(ConfigError, match=r"model\.quality: got best, allowed is usual"):
        choose_by(settings(quality="best"), engines, real_time=True)


def test_what_is_kept_costs_more_to_encode(engines: Engines) -> None:
    kept = Machine(engines, filled(EncoderSettings(preset="slow"), low_delay=False))
    assert kept.path_ms(640, 360) > 1.5 * Machine(engines).path_ms(640, 360)


@pytest.mark.serial
def test_a_recording_of_its_own_quality_costs_more_and_of_viewers_quality_none(
    engines: Engines,
) -> None:
    plain = Machine(engines).path_ms(1280, 720)
    own = RecordSettings(folder=Path("recordings"))
    assert Machine(engines, record=own).path_ms(1280, 720) > 1.2 * plain
    same = own.model_copy(update={"preset": "ultrafast", "crf": 18, "kbit_s": 16_000})
    assert Machine(engines, record=same).path_ms(1280, 720) == plain


def test_streams_that_cannot_wait_are_counted_while_they_are_open(
    clip: Callable[..., Path], engines: Engines
) -> None:
    machine = Machine(engines)
    assert machine.streams == 1
    one, two = (settings(str(clip()), name="bicubic") for _ in range(2))
    with (
        open_pipeline(one, lambda event: None, engines=engines, paced=True),
        open_pipeline(two, lambda event: None, engines=engines, paced=True),
        open_pipeline(two, lambda event: None, engines=engines),
    ):
        assert machine.streams == 2
    assert machine.streams == 1


def test_a_machine_is_measured_once_for_any_size(engines: Engines) -> None:
    machine = Machine(engines)
    small, large = machine.path_ms(640, 360), machine.path_ms(1280, 720)
    assert large == pytest.approx(4 * small)
    assert 0.1 < large < 200
    entry = find("fast-small")
    network = machine.network_ms(entry, 320, 180)
    assert network == pytest.approx(machine.network_ms(entry, 160, 90) * 4)
    assert network > machine.path_ms(320, 180)
    assert (machine.on_gpu, machine.threads, machine.cores) == (
        *(False, engines.workers),
        engines.cores,
    )
