"""Scoring by the papers' protocol, against the same protocol worked out here."""

import json
import shutil
from fractions import Fraction
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peers import camera_clip, scene
from rich.console import Console
from typer.testing import CliRunner

from streamsr.cli.main import app
from streamsr.cli.training.evaluate import evaluate as evaluate_command
from streamsr.cli.training.tables import evaluation_tables, markdown
from streamsr.core.config import dump
from streamsr.core.errors import InputError, ModelError, UserError
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.settings import Quality
from streamsr.media.camera_codec import CameraCoding, coded
from streamsr.media.images import ImageWriter, image_frames, read_image
from streamsr.networks.facts import Colour
from streamsr.networks.resample import resize
from streamsr.sources.opening import file_frames
from streamsr.train.evaluation import Scored, evaluate
from streamsr.train.frames import fitted
from streamsr.train.results import ClipScores, Cost, Degradation, Evaluation, Scores
from streamsr.train.scoring import ssim
from streamsr.zoo.card import Card, FactsCard, Weights
from streamsr.zoo.loading import make_network
from streamsr.zoo.registry import Entry, find
from streamsr.zoo.weights import write_weights

CPU = torch.device("cpu")
Images = NDArray[np.uint8]


def images(count: int, height: int = 50, width: int = 70, seed: int = 0) -> Images:
    """(count, h, w, 3) in colour, with detail."""
    shift = np.random.default_rng(seed).integers(0, 40)
    made = []
    for luma, *chroma in scene(width + 2, height + 2, count, first=int(shift)):
        channels = [luma, *(np.kron(c, np.ones((2, 2), np.uint8)) for c in chroma)]
        made.append(np.stack([c[:height, :width] for c in channels], axis=-1))
    return np.stack(made)


def write_folder(folder: Path, rgb: Images) -> Path:
    writer = ImageWriter(folder)
    tags = ColourTags(0, 1, 13, True)
    for n, image in enumerate(rgb):
        writer.write(Frame((image,), tags, n, Fraction(1, 25)), f"{n}.png")
    return folder


def luma(rgb: NDArray[np.generic]) -> NDArray[np.float64]:
    """MATLAB's rgb2ycbcr of 8-bit R'G'B', not rounded."""
    red, green, blue = np.moveaxis(rgb.astype(float), -1, 0)
    y: NDArray[np.float64] = 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    return y


def bicubic_scores(rgb: Images, scale: int = 4) -> tuple[float, float]:
    """Mean PSNR and SSIM of bicubic, step by step as the papers state them."""
    side = [s - s % scale for s in rgb.shape[1:3]]
    psnrs, ssims = [], []
    for truth in rgb[:, : side[0], : side[1]]:
        planes = torch.from_numpy(truth.transpose(2, 0, 1).astype(float))
        low = resize(planes, Fraction(1, scale)).round().clamp(0, 255)
        high = resize(low, scale).round().clamp(0, 255).numpy().transpose(1, 2, 0)
        ours, wanted = luma(high), luma(truth)
        psnrs.append(10 * np.log10(255**2 / ((ours - wanted) ** 2).mean()))
        ssims.append(ssim(torch.from_numpy(ours), torch.from_numpy(wanted)))
    return float(np.mean(psnrs)), float(np.mean(ssims))


def shrunk(rgb: Images, scale: int) -> Images:
    """BI of (count, h, w, 3), sides multiples of the scale."""
    planes = torch.from_numpy(rgb.transpose(0, 3, 1, 2).astype(float))
    low = resize(planes, Fraction(1, scale)).round().clamp(0, 255)
    made: Images = low.permute(0, 2, 3, 1).to(torch.uint8).numpy()
    return made


def fast_model(folder: Path, scale: int) -> Entry:
    """A network of scale 1, 2 or 3 with fresh weights, which change little."""
    torch.manual_seed(1)
    fold = 2 if scale < 3 else 1
    facts = FactsCard(scale=scale, window=1, lookahead=0, colour=Colour.LUMA, multiple=fold)
    options: dict[str, bool | int | str] = {"features": 8, "layers": 3}
    card = Card(
        description="tiny",
        network="fast",
        options=options | {"scale": scale, "fold": fold},
        facts=facts,
    )
    return written(folder, card)


def edvr_model(folder: Path, colour: Colour = Colour.RGB) -> Entry:
    """An EDVR of 5 frames with fresh weights."""
    torch.manual_seed(2)
    options: dict[str, bool | int | str] = {
        "num_feat": 8,
        "num_frame": 5,
        "deformable_groups": 2,
        "num_extract_block": 1,
        "num_reconstruct_block": 1,
    }
    facts = FactsCard(scale=4, window=5, lookahead=2, colour=colour, multiple=4)
    return written(folder, Card(description="tiny", network="edvr", options=options, facts=facts))


def written(folder: Path, card: Card) -> Entry:
    """The model folder of a card, its weights fresh."""
    folder.mkdir(parents=True)
    weights = Weights(sha256=write_weights(folder / "weights.safetensors", make_network(card)))
    card = card.model_copy(update={"weights": weights})
    dump(card, folder / "card.toml")
    return Entry(folder.name, folder, card)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_bicubic_scores_as_the_protocol_says(tmp_path: Path) -> None:
    rgb = images(3)
    result = evaluate(write_folder(tmp_path / "city", rgb), find("bicubic"), CPU)
    (clip,) = result.clips
    assert (clip.name, clip.frames, clip.size) == ("city", 3, "68x48")
    psnr, similarity = bicubic_scores(rgb)
    assert result.bicubic.psnr_db == pytest.approx(psnr, abs=0.01)
    assert result.bicubic.ssim == pytest.approx(similarity, abs=1e-3)
    # the model called bicubic takes the luma's path, which may round otherwise
    assert result.ours.psnr_db == pytest.approx(psnr, abs=0.02)
    assert abs(result.gain_db) < 0.02
    assert result.ours.ms > 0


def test_a_set_is_the_mean_of_its_clips_whatever_their_length(tmp_path: Path) -> None:
    write_folder(tmp_path / "set" / "b", images(4, seed=1))
    write_folder(tmp_path / "set" / "a", images(1, 60, 64, seed=2))
    (tmp_path / "set" / "empty").mkdir()
    result = evaluate(tmp_path / "set", find("lanczos"), CPU)
    assert [(c.name, c.frames, c.size) for c in result.clips] == [
        ("a", 1, "64x60"),
        ("b", 4, "68x48"),
    ]
    for name in ("psnr_db", "ssim", "ms"):
        mean = sum(getattr(c.ours, name) for c in result.clips) / 2
        assert getattr(result.ours, name) == pytest.approx(mean)
    assert result.gain_db == pytest.approx(result.ours.psnr_db - result.bicubic.psnr_db)


def test_clips_are_scored_alone_and_in_folders(tmp_path: Path) -> None:
    for name in ("one", "two"):
        camera_clip(tmp_path / f"{name}.mkv", width=96, height=64, seconds=0.2, audio=False)
    single = evaluate(tmp_path / "one.mkv", find("bicubic"), CPU, max_frames=2)
    assert [(c.name, c.frames, c.size) for c in single.clips] == [("one", 2, "96x64")]
    both = evaluate(tmp_path, find("bicubic"), CPU, max_frames=2)
    assert [c.name for c in both.clips] == ["one", "two"]
    assert both.clips[0].ours.psnr_db == pytest.approx(single.ours.psnr_db)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_a_window_of_frames_is_streamed_to_its_end(tmp_path: Path, count: int) -> None:
    """Each frame is scored against its own truth, those that the flush gives as well."""
    rgb = images(count, 32, 48)
    entry = edvr_model(tmp_path / "tiny")
    result = evaluate(write_folder(tmp_path / "clip", rgb), entry, CPU)
    assert result.clips[0].frames == count
    # a fresh EDVR is bicubic's bilinear neighbour: near the truth of its own frame alone
    assert result.ours.psnr_db == pytest.approx(result.bicubic.psnr_db, abs=3)
    assert result.bicubic.psnr_db == pytest.approx(bicubic_scores(rgb)[0], abs=0.01)


def test_sides_are_cut_to_the_scale(tmp_path: Path) -> None:
    """And to no more: a network whose sides are multiples of 4 pads, as it does in a stream."""
    write_folder(tmp_path / "clip", images(1, 50, 70))
    result = evaluate(tmp_path / "clip", edvr_model(tmp_path / "tiny"), CPU)
    assert result.clips[0].size == "68x48"


@pytest.mark.parametrize("quality", [Quality.USUAL, Quality.BEST])
@pytest.mark.parametrize("name", ["fast", "fast-small"])
def test_what_is_scored_is_what_upscale_makes(tmp_path: Path, name: str, quality: Quality) -> None:
    rgb = images(4, 96, 128)
    write_folder(tmp_path / "GT", rgb)
    low = write_folder(tmp_path / "LR", shrunk(rgb, 4))
    options = ["--model", name, "--quality", str(quality), "--device", "cpu"]
    done = CliRunner().invoke(app, ["upscale", str(low), str(tmp_path / "OUT"), *options])
    assert done.exit_code == 0, done.output
    made = np.stack([frame.planes[0] for frame in image_frames(tmp_path / "OUT")])
    errors = ((luma(made) - luma(rgb)) ** 2).mean((1, 2))
    wanted = float(np.mean(10 * np.log10(255**2 / errors)))
    result = evaluate(tmp_path / "GT", find(name), CPU, low=low, quality=quality)
    assert result.ours.psnr_db == pytest.approx(wanted, abs=1e-6)


def test_progress_is_reported_frame_by_frame(tmp_path: Path) -> None:
    write_folder(tmp_path / "clip", images(4))
    reported: list[Scored] = []
    evaluate(tmp_path / "clip", find("bicubic"), CPU, max_frames=3, report=reported.append)
    assert reported == [Scored("clip", count, 3) for count in (1, 2, 3)]


def test_an_exact_output_is_infinite_and_valid_json(tmp_path: Path) -> None:
    write_folder(tmp_path / "flat", np.full((2, 24, 32, 3), 90, np.uint8))
    result = evaluate(tmp_path / "flat", find("bicubic"), CPU)
    assert result.ours.psnr_db == result.bicubic.psnr_db == float("inf")
    assert (result.gain_db, result.ours.ssim) == (0.0, pytest.approx(1))
    data = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert data["ours"]["psnr_db"] is None
    assert data["clips"][0]["name"] == "flat"
    assert data["ours"]["temporal_db"] is None  # nothing changes, and nothing flickers
    assert {"model", "device", "scale", "clips", "ours", "bicubic", "gain_db"} <= set(data)


def test_the_command_gives_json_and_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "clip", images(2))
    evaluate_command(tmp_path / "clip", "lanczos", device="cpu", frames=1, as_json=True)
    data = json.loads(capsys.readouterr().out)
    assert data["model"] == "lanczos"
    assert data["clips"][0]["frames"] == 1
    evaluate_command(tmp_path / "clip", "lanczos", device="cpu", frames=1)
    text = capsys.readouterr().out
    for wanted in ("clip", "lanczos", "bicubic", "mean", f"{data['gain_db']:+.2f}"):
        assert wanted in text


def test_what_cannot_be_scored_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="neither PNG frames"):
        evaluate(tmp_path / "none", find("bicubic"), CPU)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        evaluate(tmp_path / "missing", find("bicubic"), CPU)
    write_folder(tmp_path / "small", images(1, 40, 48)[:, :10, :12])
    with pytest.raises(InputError, match="got 12x10 pixels, allowed are 12 and more a side"):
        evaluate(tmp_path / "small", find("bicubic"), CPU)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError, match=r"text\.mp4"):
        evaluate(tmp_path / "text.mp4", find("bicubic"), CPU)


def test_members_of_any_scale_are_scored(tmp_path: Path) -> None:
    """A network with fresh weights adds little to bicubic."""
    rgb = images(2, 50, 70)
    write_folder(tmp_path / "clip", rgb)
    for scale, size in ((2, "70x50"), (3, "69x48")):
        entry = fast_model(tmp_path / f"tiny-x{scale}", scale)
        result = evaluate(tmp_path / "clip", entry, CPU, against=[find("lanczos", scale=scale)])
        assert (result.scale, result.clips[0].size) == (scale, size)
        psnr, similarity = bicubic_scores(rgb, scale)
        assert result.bicubic.psnr_db == pytest.approx(psnr, abs=0.01)
        assert result.bicubic.ssim == pytest.approx(similarity, abs=1e-3)
        assert abs(result.gain_db) < 2
        assert result.others["lanczos"].psnr_db > psnr
    with pytest.raises(ModelError, match="its scale is 4, allowed is 3, that of 'tiny-x3'"):
        evaluate(tmp_path / "clip", entry, CPU, against=[find("fast")])


def test_restoration_is_compared_with_the_input(tmp_path: Path) -> None:
    """At scale 1 bicubic leaves what a camera shows as it is."""
    clip = camera_clip(tmp_path / "a.mkv", width=192, height=128, seconds=0.4, audio=False)
    entry = fast_model(tmp_path / "tiny-x1", 1)
    result = evaluate(clip, entry, CPU, degrade=Degradation.CAMERA)
    frames = [fitted(frame, 2) for frame in file_frames(clip)]
    seen = coded(frames, CameraCoding(kbit_s=384))
    errors = [
        ((low.planes[0].astype(float) - truth.planes[0]) ** 2).mean()
        for low, truth in zip(seen, frames, strict=True)
    ]
    wanted = float(np.mean(10 * np.log10(255**2 / np.array(errors))))
    (at_384,) = (clip for clip in result.clips if clip.kbit_s == 384)
    assert at_384.bicubic.psnr_db == pytest.approx(wanted, abs=1e-6)
    assert at_384.bicubic.shift == 0
    clips, models = evaluation_tables(result)
    assert "input\ndB" in [str(column.header) for column in clips.columns]
    assert list(models.columns[0].cells) == ["tiny-x1", "input"]
    with pytest.raises(ModelError, match="its scale is 1, allowed is 2 or more where the input"):
        evaluate(clip, entry, CPU)


@pytest.mark.parametrize("degrade", [Degradation.BICUBIC, Degradation.BD])
def test_a_set_of_pairs_scores_as_it_was_made(tmp_path: Path, degrade: Degradation) -> None:
    shrink = shrunk if degrade is Degradation.BICUBIC else blurred
    for name, seed in (("city", 1), ("walk", 2)):
        rgb = images(3, 48, 64, seed)
        write_folder(tmp_path / "GT" / name, rgb)
        write_folder(tmp_path / f"{degrade}x4" / name, shrink(rgb, 4))
    made = evaluate(tmp_path / "GT", find("fast-small"), CPU, degrade=degrade)
    given = evaluate(tmp_path / "GT", find("fast-small"), CPU, low=tmp_path / f"{degrade}x4")
    assert given.degrade is None
    for one, other in zip(made.clips, given.clips, strict=True):
        assert one.name == other.name
        assert other.ours.psnr_db == pytest.approx(one.ours.psnr_db, abs=0.03)  # roundings differ
        assert other.bicubic.psnr_db == pytest.approx(one.bicubic.psnr_db, abs=0.03)


def blurred(rgb: Images, scale: int) -> Images:
    """BD of (count, h, w, 3) at an even scale, as MATLAB's imfilter and fspecial have it: a kernel
    of 12 x 12, the pixel after the second of four."""
    sigma, size = 1.6, 12
    line = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * sigma**2))
    kernel = np.outer(line, line) / np.outer(line, line).sum()
    padded = np.pad(rgb.astype(float), ((0, 0), (5, 6), (5, 6), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))
    filtered = np.einsum("nhwcij,ij->nhwc", windows, kernel)
    sampled: Images = np.rint(filtered[:, 1::scale, 1::scale]).astype(np.uint8)
    return sampled


def test_the_scale_of_pairs_is_that_of_their_sizes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rgb = images(2, 48, 64)
    write_folder(tmp_path / "GT", rgb)
    low = write_folder(tmp_path / "LR", shrunk(rgb, 2))
    evaluate_command(tmp_path / "GT", "lanczos", device="cpu", lr=low, as_json=True)
    data = json.loads(capsys.readouterr().out)
    assert (data["scale"], data["degrade"], data["clips"][0]["name"]) == (2, None, "GT")
    with pytest.raises(UserError, match=r"--scale: got 4, .* is 2 times as large"):
        evaluate_command(tmp_path / "GT", "lanczos", lr=low, scale=4)
    with pytest.raises(UserError, match="--degrade: got bd with --lr"):
        evaluate_command(tmp_path / "GT", "lanczos", lr=low, degrade=Degradation.BD)
    with pytest.raises(ModelError, match="its scale is 4, allowed is 2, that of"):
        evaluate(tmp_path / "GT", find("fast"), CPU, low=low)


def test_pairs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    rgb = images(3, 48, 64)
    for name in ("city", "walk"):
        write_folder(tmp_path / "GT" / name, rgb)
    low = write_folder(tmp_path / "LR" / "city", shrunk(rgb, 4)).parent

    def refused(because: str) -> None:
        with pytest.raises(InputError, match=because):
            evaluate(tmp_path / "GT", find("bicubic"), CPU, low=low)

    refused(r"LR has no walk; allowed are clips of the same names")
    for made, because in (
        (shrunk(rgb, 4)[:2], r"walk: got 2 frames, allowed are 3, as in .*GT/walk"),
        (shrunk(rgb, 2), r"walk: it is 2 times as large as .*, allowed is 4, as .*city is"),
        (shrunk(rgb, 4)[:, :, :15], r"got 15x12 pixels for the 64x48 .* sides that go into those"),
    ):
        write_folder(low / "walk", made)
        refused(because)
        shutil.rmtree(low / "walk")
    for name in ("walk", "x"):
        write_folder(low / name, shrunk(rgb, 4))
    refused(r"GT has no x")
    camera_clip(tmp_path / "a.mkv", width=64, height=48, seconds=0.12, audio=False)
    with pytest.raises(InputError, match="got Y'CbCr, allowed is R'G'B'"):
        evaluate(tmp_path / "GT" / "city", find("bicubic"), CPU, low=tmp_path / "a.mkv")


def test_clips_of_video_are_pairs_too(tmp_path: Path) -> None:
    (tmp_path / "GT").mkdir()
    for name, seconds in (("one", 0.2), ("two", 0.16)):
        path = tmp_path / "GT" / f"{name}.mkv"
        camera_clip(path, width=96, height=64, seconds=seconds, audio=False)
    result = evaluate(tmp_path / "GT", fast_model(tmp_path / "x1", 1), CPU, low=tmp_path / "GT")
    assert [(clip.name, clip.frames) for clip in result.clips] == [("one", 5), ("two", 4)]
    assert result.bicubic.psnr_db == float("inf")
    with pytest.raises(InputError, match=r"two\.mkv: got 4 frames, .*one\.mkv has more"):
        evaluate(
            tmp_path / "GT" / "one.mkv",
            fast_model(tmp_path / "same", 1),
            CPU,
            low=tmp_path / "GT" / "two.mkv",
        )


def test_values_that_are_not_finite_are_no_score(tmp_path: Path) -> None:
    write_folder(tmp_path / "clip", images(1, 32, 48))
    entry = edvr_model(tmp_path / "tiny")
    network = make_network(entry.card)
    for parameter in network.parameters():
        parameter.data.fill_(3e38)  # finite, and beyond all bounds once multiplied
    weights = Weights(sha256=write_weights(entry.folder / "weights.safetensors", network))
    entry = Entry(entry.name, entry.folder, entry.card.model_copy(update={"weights": weights}))
    with pytest.raises(ModelError, match=r"clip clip: the network gave values that .* finite$"):
        evaluate(tmp_path / "clip", entry, CPU)


def test_the_tables_name_the_models(tmp_path: Path) -> None:
    write_folder(tmp_path / "clip", images(2))
    result = evaluate(tmp_path / "clip", find("lanczos"), CPU, against=[find("fast")])
    clips, models = evaluation_tables(result)
    assert "lanczos\ndB" in [str(column.header) for column in clips.columns]
    assert list(models.columns[0].cells) == ["lanczos", "fast", "bicubic"]
    lines = markdown(result).splitlines()
    assert lines[0].startswith("| clip | n | bicubic dB")
    assert [line.split()[1] for line in lines[-3:]] == ["lanczos", "fast", "bicubic"]


def test_on_80_columns_no_figure_is_cut() -> None:
    """Names take two lines instead, as where a pipe is no terminal."""
    scores = Scores(27.96, 0.8675, 25.75, 24.5, 0.02, 12.34)
    clip = ClipScores("davis-car-roundabout", 374, "640x360", 1024.0, scores, scores, {})
    name, cost = "fast-camera-small-x2", Cost(121_240, 121_360)
    costs = {name: cost, "bicubic": Cost(0, 207)}
    precisions = {name: "float32", "bicubic": "float32"}
    result = Evaluation(name, "cpu", 4, Degradation.CAMERA, (clip,), costs, precisions)
    console = Console(width=80, file=StringIO())
    for table in evaluation_tables(result):
        console.print(table)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\u2026" not in shown
    for figure in ("27.96", ".8675", "+0.00", "121,240", "121,360", "f32", "12.34", "0.02"):
        assert figure in shown
    assert "| fast-camera-small-x2 dB |" in markdown(result)


def test_models_are_scored_side_by_side(tmp_path: Path) -> None:
    write_folder(tmp_path / "clip", images(3))
    both = evaluate(tmp_path / "clip", find("lanczos"), CPU, against=[find("fast")])
    alone = evaluate(tmp_path / "clip", find("fast"), CPU)
    for name in ("psnr_db", "ssim", "temporal_db", "rgb_db", "shift"):
        assert getattr(both.others["fast"], name) == getattr(alone.ours, name)
    with pytest.raises(ModelError, match="its scale is 1, allowed is 4"):
        evaluate(tmp_path / "clip", find("fast"), CPU, against=[find("none")])


def test_the_other_scores_are_what_they_are_called(tmp_path: Path) -> None:
    rgb = images(4)
    result = evaluate(write_folder(tmp_path / "clip", rgb), find("bicubic"), CPU)
    truth = rgb[:, :48, :68].astype(float)
    planes = torch.from_numpy(truth.transpose(0, 3, 1, 2))
    low = resize(planes, Fraction(1, 4)).round().clamp(0, 255)
    high = resize(low, 4).round().clamp(0, 255).numpy().transpose(0, 2, 3, 1)
    errors = ((high - truth) ** 2).mean((1, 2, 3))
    wanted = float(np.mean(10 * np.log10(255**2 / errors)))
    assert result.bicubic.rgb_db == pytest.approx(wanted, abs=0.01)
    changes = np.diff(luma(high), axis=0) - np.diff(luma(truth), axis=0)
    wanted = 10 * np.log10(255**2 / (changes**2).mean())
    assert result.bicubic.temporal_db == pytest.approx(wanted, abs=0.01)
    shifts = np.abs((high.mean((1, 2)) - low.numpy().mean((2, 3))).mean(0))
    assert result.bicubic.shift == pytest.approx(shifts.max(), abs=0.01)


def test_what_a_model_takes_is_counted(tmp_path: Path) -> None:
    write_folder(tmp_path / "clip", images(1))
    costs = evaluate(tmp_path / "clip", find("fast-small"), CPU, against=[find("fast")]).costs
    weights = 9 * (1 * 32 + 8 * 32 * 32 + 32 * 16)
    assert costs["fast-small"].parameters == weights + 9 * 32 + 16
    assert (costs["bicubic"].parameters, costs["bicubic"].macs > 0) == (0, True)
    assert 0 < costs["fast-small"].macs - weights < 1000  # the bicubic skip
    assert costs["fast"].macs > 1.5 * costs["fast-small"].macs


def test_a_camera_is_scored_at_every_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera_clip(tmp_path / "one.mkv", width=192, height=128, seconds=0.4, audio=False)
    evaluate_command(
        tmp_path / "one.mkv",
        "fast",
        device="cpu",
        frames=8,
        degrade=Degradation.CAMERA,
        report=tmp_path / "report",
        as_json=True,
    )
    data = json.loads(capsys.readouterr().out)
    assert [clip["kbit_s"] for clip in data["clips"]] == [96, 192, 384, 1024]
    scores = [clip["bicubic"]["psnr_db"] for clip in data["clips"]]
    assert scores == sorted(scores)
    assert scores[0] < evaluate(tmp_path / "one.mkv", find("bicubic"), CPU).bicubic.psnr_db
    assert data["least_gain_db"] <= data["gain_db"]
    assert data["ours"]["rgb_db"] is None
    assert json.loads((tmp_path / "report" / "eval.json").read_text()) == data
    assert "one@96" in (tmp_path / "report" / "eval.md").read_text()
    assert read_image(tmp_path / "report" / "eval.png").width > 300


def test_folders_of_images_are_coded_too(tmp_path: Path) -> None:
    write_folder(tmp_path / "clip", images(3, 67, 101))
    result = evaluate(tmp_path / "clip", find("bicubic"), CPU, degrade=Degradation.CAMERA)
    assert {clip.size for clip in result.clips} == {"96x64"}
    assert result.ours.psnr_db == pytest.approx(result.bicubic.psnr_db, abs=0.01)
