"""The models there are; a file into another, by one that is loaded already; a score."""

from pathlib import Path

import streamsr

names = {model.name: model for model in streamsr.list_models()}
assert names["fast"].scale == 4
assert names["fast"].folder.is_dir()
version: str = streamsr.__version__
assert version

clip = Path(__import__("sys").argv[1])
with streamsr.Upscaler(names["bicubic"].folder, scale=2) as upscaler:
    summary = upscaler.upscale_file(clip, "larger.mp4", frames=5, overwrite=True)
    assert summary.frames_out == 5
result = streamsr.evaluate("larger.mp4", "bicubic", max_frames=2, scale=2)
assert result.scale == 2
assert result.clips[0].ours.psnr_db > 20
