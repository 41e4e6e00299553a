"""A file that was stopped anywhere and goes on comes out as one that was not."""

import hashlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import av
import cv2
import numpy as np
import pytest
import torch

from streamsr.core.config import dump
from streamsr.files.work import FileResult
from streamsr.media.muxing import FileWriter
from streamsr.networks.edvr import EDVR
from streamsr.networks.facts import Colour
from streamsr.zoo.card import CARD_NAME, WEIGHTS_NAME, Card, FactsCard, Weights
from streamsr.zoo.weights import write_weights

Run = Callable[..., tuple[list[FileResult], Any]]

EDVR_OPTIONS = {
    "num_feat": 8,
    "num_frame": 5,
    "deformable_groups": 2,
    "num_extract_block": 1,
    "num_reconstruct_block": 1,
}


@pytest.fixture(scope="module")
def edvr(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of a tiny network of windows of five frames."""
    network = EDVR(**EDVR_OPTIONS).requires_grad_(False)
    torch.manual_seed(1)
    for parameter in network.parameters():
        parameter.normal_(std=max(1, parameter[0].numel()) ** -0.5)
    return edvr_folder(tmp_path_factory.mktemp("models") / "tiny-edvr", network)


def edvr_folder(folder: Path, network: EDVR) -> str:
    folder.mkdir()
    facts = FactsCard(scale=4, window=5, lookahead=2, colour=Colour.RGB, multiple=4)
    weights = Weights(sha256=write_weights(folder / WEIGHTS_NAME, network))
    card = Card(description="", network="edvr", options=EDVR_OPTIONS, facts=facts, weights=weights)
    dump(card, folder / CARD_NAME)
    return str(folder)


def contents(path: Path) -> list[object]:
    """Every packet of a file, or the bytes of every image of a folder."""
    if path.is_dir():
        return [(one.name, one.read_bytes()) for one in sorted(path.iterdir())]
    with av.open(str(path)) as container:
        return [
            (p.stream.index, p.pts, p.dts, hashlib.sha256(bytes(p)).hexdigest())
            for p in container.demux()
            if p.size
        ]


CASES = {
    "recurrent": ({"name": "fast-camera"}, {}),
    "recurrent, to another size": ({"name": "fast"}, {"size": "100"}),
    "one frame": ({"name": "fast-small"}, {}),
    "filter": ({"name": "lanczos"}, {}),
    "passes": ({"name": "fast", "quality": "best"}, {}),
    "compared": ({"name": "fast-camera"}, {"compare": "split"}),
    "denoised": ({"denoise": 0.5, "name": "auto"}, {}),
    "denoised in passes and compared": (
        {"denoise": 0.5, "name": "auto", "quality": "best"},
        {"compare": "side", "scale": 4},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_stopped_and_begun_again_a_file_is_the_same(
    case: str, clip: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    model, output = CASES[case]
    source = clip(width=32, height=16, seconds=2, gop=30, b_frames=2)
    settings = {"model": model, "output": output, "encoder": {"gop_s": 0.4}}
    run(source, tmp_path / "whole", **settings)
    seen = 0
    for stop_at in (12, 27, 28, 46):
        (result,), watched = run(source, tmp_path / "out", stop_at, **settings)
        assert result.state == "stopped"
        seen += watched.frames
    (result,), watched = run(source, tmp_path / "out", **settings)
    assert result.state == "done", result.why
    assert result.frames == 50
    assert seen + watched.frames < 50 + 4 * 2 * 10  # a GOP each, and what was in flight
    name = source.name
    assert contents(tmp_path / "out" / name) == contents(tmp_path / "whole" / name)
    assert not [*(tmp_path / "out").glob("*.partial")]


def test_windows_that_look_ahead_go_on_too(
    edvr: str, clip: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    source = clip(width=32, height=16, seconds=1, gop=5)
    settings = {"model": {"name": edvr}, "encoder": {"gop_s": 0.28}}
    run(source, tmp_path / "whole", **settings)
    for stop_at in (8, 16):
        (result,), _ = run(source, tmp_path / "out", stop_at, **settings)
        assert result.state == "stopped"
    (result,), watched = run(source, tmp_path / "out", **settings)
    assert result.state == "done", result.why
    assert watched.frames < 20
    assert contents(tmp_path / "out" / source.name) == contents(tmp_path / "whole" / source.name)


@pytest.mark.parametrize("model", [{"denoise": 0.5, "name": "auto"}, {"name": "bicubic"}])
def test_a_folder_of_images_goes_on_where_it_was(
    model: dict[str, object], run: Run, tmp_path: Path
) -> None:
    source = tmp_path / "frames"
    source.mkdir()
    ramp = np.linspace(0, 255, 32 * 16 * 3).reshape(16, 32, 3)
    for number in range(40):
        image = np.roll(ramp, number, 1).astype(np.uint8)
        cv2.imwrite(str(source / f"f{number}.png"), image)
    settings = {"model": model, "encoder": {"gop_s": 0.4}}  # in passes: they are images
    run(source, tmp_path / "whole", **settings)
    for stop_at in (12, 23):
        (result,), _ = run(source, tmp_path / "out", stop_at, **settings)
        assert result.state == "stopped"
        assert not (tmp_path / "out" / "frames").exists()
    (result,), watched = run(source, tmp_path / "out", **settings)
    assert (result.state, result.frames) == ("done", 40), result.why
    assert watched.frames < 35
    assert contents(tmp_path / "out/frames") == contents(tmp_path / "whole/frames")


def test_what_is_done_by_other_settings_is_not_done(
    clip: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    source, out = tmp_path / "a.mp4", tmp_path / "out"
    source.write_bytes(clip(width=48, height=32, seconds=1).read_bytes())
    run(source, out)
    assert [r.state for r in run(source, out)[0]] == ["already done"]
    (result,), watched = run(source, out, model={"name": "lanczos"})
    assert (result.state, result.upscaled) == ("done", 25)
    (said,) = watched.said
    assert "model was bicubic" in said
    source.write_bytes(clip(width=48, height=32, seconds=2).read_bytes())
    (result,), watched = run(source, out, model={"name": "lanczos"})
    assert (result.state, result.frames) == ("done", 50)
    assert "input was" in watched.said[0]
    (out / "a.mp4").write_bytes(b"mine")
    (result,), _ = run(source, out, model={"name": "lanczos"})
    assert result.state == "failed"
    assert "--overwrite" in result.why
    assert (out / "a.mp4").read_bytes() == b"mine"
    (result,), _ = run(source, out, model={"name": "lanczos"}, output={"overwrite": True})
    assert result.state == "done"


def test_a_network_that_fails_is_damage_and_is_tried_again(
    clip: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    network = EDVR(**EDVR_OPTIONS).requires_grad_(False)
    for parameter in network.parameters():
        parameter.fill_(1e30)  # they are finite, what comes of them is not
    settings = {
        "model": {"name": edvr_folder(tmp_path / "broken-edvr", network)},
        "limits": {"frames": 10},
        "encoder": {"gop_s": 0.2},
    }
    source, out = clip(width=32, height=16, seconds=1), tmp_path / "out"
    (result,), _ = run(source, out, 8, **settings)
    assert result.state == "stopped", result.why
    for upscaled in (5, 10):
        (result,), watched = run(source, out, **settings)
        assert (result.state, result.frames, result.upscaled) == ("done", 10, upscaled)
        (told,) = result.damage
        assert "not finite; the frame is scaled plainly" in told
        assert result.plain >= 10
    assert "made again: the network failed" in watched.said[0]


def test_half_done_by_other_settings_is_begun_again(
    clip: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    source, out = clip(width=48, height=32, seconds=3), tmp_path / "out"
    run(source, out, 60)
    (result,), watched = run(source, out, model={"name": "lanczos"})
    assert (result.state, result.upscaled) == ("done", 75)
    assert "begun again: model was bicubic" in watched.said[0]


def test_damaged_bookkeeping_costs_a_segment(
    clip: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    source, out = clip(width=48, height=32, seconds=4), tmp_path / "out"
    settings = {"model": {"name": "fast-camera"}, "encoder": {"gop_s": 1}}
    run(source, tmp_path / "whole", **settings)
    run(source, out, 90, **settings)
    (half_done,) = out.glob("*.partial")
    with (half_done / "commits.jsonl").open("ab") as commits:
        commits.write(b'{"frames": 10')  # cut off by a kill
    with (half_done / "video.packets").open("r+b") as video:
        video.truncate((half_done / "video.packets").stat().st_size - 3)
    (result,), watched = run(source, out, **settings)
    assert (result.state, result.frames) == ("done", 100), result.why
    assert watched.frames < 76
    assert contents(out / source.name) == contents(tmp_path / "whole" / source.name)


def test_limits_hold_for_the_file_however_often_it_goes_on(
    clip: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    source, out = clip(width=48, height=32, seconds=4), tmp_path / "out"
    settings = {"limits": {"frames": 60}, "encoder": {"gop_s": 1}}
    run(source, out, 40, **settings)
    (result,), _ = run(source, out, **settings)
    assert (result.state, result.frames) == ("done", 60)
    with av.open(str(out / source.name)) as container:
        ends = [p.pts * p.time_base for p in container.demux(audio=0) if p.pts is not None]
    assert 2.2 < max(ends) < 2.45


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_a_file_that_breaks_off_says_so(
    ending: str, clip: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    whole, source = tmp_path / f"whole{ending}", tmp_path / f"cut{ending}"
    options = {"movflags": "faststart"} if ending == ".mp4" else {}
    given = clip(width=48, height=32, seconds=8)
    with av.open(str(given)) as before, av.open(str(whole), "w", options=options) as after:
        streams = {s.index: after.add_stream_from_template(s) for s in before.streams}
        for packet in before.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                after.mux(packet)
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (result,), _ = run(source, tmp_path / "out")
    assert result.state == "done"
    (told,) = result.damage
    assert f"it breaks off after {result.frames} of about 20" in told
    assert run(whole, tmp_path / "out")[0][0].damage == ()


def test_a_folder_of_somebody_else_is_left_alone(
    clip: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    source, out = clip(width=32, height=16, seconds=1), tmp_path / "out"
    mine = out / f"{source.name}.partial"
    mine.mkdir(parents=True)
    (mine / "notes.txt").write_text("mine", encoding="utf-8")
    (result,), _ = run(source, out)
    assert (result.state, (mine / "notes.txt").read_text()) == ("failed", "mine")
    assert str(mine) in result.why
    mine.rename(out / "elsewhere")
    assert [r.state for r in run(source, out)[0]] == ["done"]
    (out / "elsewhere").rename(mine)
    assert [r.state for r in run(source, out)[0]] == ["already done"]
    assert (mine / "notes.txt").read_text() == "mine"


def test_killed_twice_before_it_is_named_it_is_still_known(
    clip: Callable[..., Path], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = clip(width=32, height=16, seconds=1), tmp_path / "out"
    run(source, out)

    class Killed(BaseException):
        pass

    def kill(*_: object) -> NoReturn:
        raise Killed

    real, joined = Path.replace, out / f"{source.name}.partial/joined"

    def replaced(path: Path, to: Path) -> Path:
        return kill() if path == joined else real(path, to)

    for killed in (("pathlib.Path.replace", replaced), ("streamsr.files.work.sync", kill)):
        with monkeypatch.context() as patch:
            patch.setattr(*killed)  # before it is named, then when it is joined again
            with pytest.raises(Killed):
                run(source, out, model={"name": "lanczos"})
    (result,), _ = run(source, out, model={"name": "lanczos"})
    assert result.state == "done", result.why


def test_killed_while_it_is_joined_it_is_joined_again_and_nothing_is_upscaled_again(
    clip: Callable[..., Path], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = clip(width=48, height=32, seconds=3), tmp_path / "out"
    run(source, tmp_path / "whole")

    class Killed(BaseException):
        pass

    written: list[object] = []
    real = FileWriter.video

    def killed_in_the_middle(writer: FileWriter, *facts: Any) -> None:
        written.append(facts)
        if len(written) > 40:
            raise Killed
        real(writer, *facts)

    with monkeypatch.context() as patch:
        patch.setattr(FileWriter, "video", killed_in_the_middle)
        with pytest.raises(Killed):
            run(source, out)
    assert not (out / source.name).exists()
    (result,), watched = run(source, out)
    assert (result.state, result.upscaled, watched.frames) == ("done", 0, 0), result.why
    assert "its 75 frames are done" in watched.said[0]
    name = source.name
    assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("ending", [".mkv", ".webm", ".mp4", ".mov", ".ts"])
def test_a_result_is_the_same_byte_for_byte(
    ending: str, clip: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    source = tmp_path / f"a{ending}"
    codec = "vp9" if ending == ".webm" else "h264"
    with av.open(str(clip(width=32, height=16, seconds=1, gop=5))) as given:
        (image, *_) = given.decode(video=0)
    with av.open(str(source), "w") as made:
        stream = made.add_stream("libvpx-vp9" if codec == "vp9" else "libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for number in range(25):
            image.pts, image.time_base = number, Fraction(1, 25)
            made.mux(stream.encode(image))
        made.mux(stream.encode())
    for out in ("one", "other"):
        (result,), _ = run(source, tmp_path / out, encoder={"codec": codec})
        assert result.state == "done", result.why
    name = source.name
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_it_goes_on_in_the_precision_it_began_in_and_says_how_far_it_is(
    edvr: str, clip: Callable[..., Path], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = clip(width=32, height=16, seconds=1, gop=5)
    settings = {"model": {"name": edvr}, "encoder": {"gop_s": 0.28}}
    monkeypatch.setattr("streamsr.files.upscaling.EVERY_S", 0.0)
    quickest = "streamsr.zoo.speed.Speed.quickest"
    monkeypatch.setattr("streamsr.zoo.loading.precisions_of", lambda *_: ("float32", "bfloat16"))
    monkeypatch.setattr("streamsr.pipeline.build.precisions_of", lambda *_: ("float32", "bfloat16"))
    monkeypatch.setattr(quickest, lambda *_: "bfloat16")
    run(source, tmp_path / "out", 16, **settings)
    monkeypatch.setattr(quickest, lambda *_: "float32")
    (result,), watched = run(source, tmp_path / "out", **settings)
    assert result.state == "done", result.why
    assert result.upscaled < 25
    assert f"{source}: read again to 1 of {25 - result.upscaled} done frames" in watched.said
