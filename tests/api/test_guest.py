"""The library is a guest: it leaves the process of its caller as it was, and comes quickly."""

import subprocess
import sys
from pathlib import Path

GUEST = """
import asyncio
import faulthandler
import gc
import logging
import os
import random
import signal
import sys
import threading
import warnings

import numpy as np

import streamsr

assert not {"torch", "av", "cv2", "pydantic"} & {*sys.modules}
assert streamsr.__version__
assert any(model.name == "fast" for model in streamsr.list_models())
assert "torch" not in sys.modules
assert {"Upscaler", "Engine", "evaluate"} <= {*dir(streamsr)}

import av
import cv2
import torch

torch.set_num_threads(3)
cv2.setNumThreads(3)


def in_new_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def state():
    return {
        "torch": torch.get_num_threads(),
        "torch, later threads": in_new_thread(torch.get_num_threads),
        "torch, interop": torch.get_num_interop_threads(),
        "torch, dtype": torch.get_default_dtype(),
        "torch, grad": torch.is_grad_enabled(),
        "torch, seed": torch.random.get_rng_state().tolist(),
        "random": random.getstate(),
        "numpy, seed": np.random.get_state()[1].tolist(),
        "numpy, errors": np.geterr(),
        "cv2": cv2.getNumThreads(),
        "av": av.logging.get_level(),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "loggers": (logging.root.level, list(logging.root.handlers), logging.raiseExceptions),
        "own logger": list(logging.getLogger("streamsr").handlers),
        "warnings": list(warnings.filters),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook),
        "environment": dict(os.environ),
        "umask": (os.umask(0o22), os.umask(0o22))[1],
        "switch": sys.getswitchinterval(),
        "folder": os.getcwd(),
        "gc": (gc.get_threshold(), gc.isenabled()),
        "policy": type(asyncio.get_event_loop_policy()),
        "faults": faulthandler.is_enabled(),
    }


os.umask(0o22)
before = state()
images = [np.full((24, 32, 3), level, np.uint8) for level in range(20)]
upscaler = streamsr.Upscaler("fast", device="cpu")
opened = state()
assert opened == before, [key for key in before if opened[key] != before[key]]
list(upscaler.map(images))
upscaler(torch.zeros(3, 24, 32))
upscaler.upscale_file("demo", "file.mp4", frames=3)
during = state()
assert during == before, [key for key in before if during[key] != before[key]]


async def pipeline():
    settings = {
        "input": {"url": "demo"},
        "model": {"name": "bicubic", "device": "cpu"},
        "output": {"path": "demo.mp4"},
        "limits": {"frames": 5},
    }
    async with streamsr.open_pipeline(settings, lambda event: None) as opened:
        await opened.run()


asyncio.run(pipeline())
after = state()
assert after == before, [key for key in before if after[key] != before[key]]
upscaler.close()
streamsr.evaluate("file.mp4", "bicubic", max_frames=1)
after = state()
assert after == before, [key for key in before if after[key] != before[key]]
assert not [t.name for t in threading.enumerate() if t.name.startswith("streamsr")]
print("done")
# and what nobody has closed ends with the program, whatever it is at
forgotten = streamsr.Upscaler("bicubic", device="cpu")
next(forgotten.map(iter(images)))
"""


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=folder,
    )


def test_a_process_stays_as_it_was(tmp_path: Path) -> None:
    done = run(GUEST, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_importing_takes_no_library_that_takes_long(tmp_path: Path) -> None:
    program = (
        "import streamsr, sys; print(sorted({'torch', 'av', 'cv2', 'numpy'} & {*sys.modules}))"
    )
    assert run(program, tmp_path).stdout == "[]\n"


def test_no_allocator_is_told_anything(tmp_path: Path) -> None:
    program = """
import ctypes, numpy, streamsr, streamsr.engine.allocator as allocator
allocator.keep_freed_memory = allocator.SETTINGS = allocator.ctypes = None  # used, they would fail
with streamsr.Upscaler("bicubic", device="cpu") as upscaler:
    print(upscaler(numpy.zeros((24, 32, 3), numpy.uint8)).shape)
"""
    assert run(program, tmp_path).stdout == "(96, 128, 3)\n"
