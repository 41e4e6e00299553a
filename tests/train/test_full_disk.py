"""Training where the disk is full: a line says so, and what was there is there still."""

from pathlib import Path

import pytest
from peers.full_disk import full_after
from synthetic import texture, write_clip
from tiny_models import FAST

from streamsr.core.config import parse
from streamsr.core.errors import OutputError
from streamsr.train.loop import Trainer
from streamsr.train.settings import TrainSettings


def settings(folder: Path) -> TrainSettings:
    for number, part in enumerate(("train", "valid")):
        (folder / part).mkdir()
        clip = texture(8, 72, 80, seed=number, speed=2)[..., 1].clip(16, 235)
        write_clip(folder / part / "a.mkv", clip)
    data = {
        "train": str(folder / "train"),
        "valid": str(folder / "valid"),
        "cache": str(folder / "cache"),
        "patch": 16,
        "valid_frames": 3,
    }
    runs = {"name": "tiny", "runs": str(folder / "runs"), "steps": 6, "save_every": 3, "batch": 2}
    return parse({**runs, "model": FAST, "data": data}, TrainSettings, "test")


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if ".partial" in path.name]


def test_what_is_prepared_for_training_does_not_fit(tmp_path: Path) -> None:
    run = settings(tmp_path)
    with (
        full_after(8_000),
        pytest.raises(OutputError, match=r"a-\w+\.npy: cannot be written: the disk is full"),
    ):
        Trainer(run)
    assert left(tmp_path) == []


def test_a_checkpoint_does_not_fit(tmp_path: Path) -> None:
    trainer = Trainer(settings(tmp_path))
    with (
        full_after(10_000),
        pytest.raises(OutputError, match=r"checkpoint\.pt: cannot be written: File too large"),
    ):
        trainer.run(lambda progress: None)
    assert left(tmp_path) == []
    assert Trainer(trainer.settings).run(lambda progress: None).is_dir()
