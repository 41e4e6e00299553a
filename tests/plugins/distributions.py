"""Small distributions that a test installs into a folder, as pip would: code and entry points."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

__all__ = ["NETWORK", "SINK", "SOURCE", "install"]

SOURCE = '''
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray


class Sensor:
    """Grey frames that grow brighter; the host of its address says how many."""

    rate = 25.0
    live = False

    def __init__(self, address: str) -> None:
        self.count = int(urlsplit(address).hostname or 0)

    def frames(self, stop: threading.Event) -> Iterator[NDArray[np.uint8]]:
        image = np.zeros((90, 160, 3), np.uint8)
        for number in range(self.count):
            image[:] = 16 * (number % 16)
            yield image
'''

SINK = '''
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray


class Levels:
    """Writes each frame's mean and time, a line a frame, into the file of its address."""

    def __init__(self, address: str) -> None:
        self.file = Path(urlsplit(address).path).open("w")

    def write(self, image: NDArray[np.uint8], time_s: float) -> None:
        height, width, channels = image.shape
        self.file.write(f"{width}x{height}x{channels} {image.mean():.0f} {time_s:.2f}\\n")

    def close(self) -> None:
        self.file.write("closed\\n")
        self.file.close()
'''

NETWORK = '''
import torch
from torch import Tensor, nn


class Twice(nn.Module):
    """Each pixel twice, a gain beside it."""

    def __init__(self, gain: int = 1) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, window: Tensor) -> Tensor:
        middle = window[:, window.shape[1] // 2]
        return self.gain * middle.repeat_interleave(2, -2).repeat_interleave(2, -1)
'''


def install(
    folder: Path,
    name: str,
    points: Mapping[str, Mapping[str, str]],
    module: str = "",
    version: str = "1.0",
) -> Path:
    """Installs a distribution, its module called as it is, with entry points by group; returns
    ``folder``, which belongs on PYTHONPATH."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.py").write_text(textwrap.dedent(module), "utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, named in points.items():
        lines.append(f"[{group}]")
        lines += [f"{point} = {value}" for point, value in named.items()]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return folder
