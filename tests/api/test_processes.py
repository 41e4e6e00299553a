"""Processes that a program forks: new upscalers work there, others say why not."""

import subprocess
import sys
from pathlib import Path

FORKED = """
import multiprocessing

import numpy as np

import streamsr

image = np.zeros((24, 32, 3), np.uint8)


def in_child(results):
    with streamsr.Upscaler("fast", device="cpu") as own:
        results.put(own(image).shape)
    for use in (lambda: upscaler(image), lambda: next(begun), lambda: engine.stream("bicubic")):
        try:
            use()
        except streamsr.InputError as error:
            results.put(str(error))
    upscaler.close()
    engine.close()
    results.put("closed")


if __name__ == "__main__":
    engine = streamsr.Engine("cpu")
    upscaler = streamsr.Upscaler("fast", device="cpu")
    upscaler(image)
    begun = upscaler.map([image] * 20)
    next(begun)
    forking = multiprocessing.get_context("fork")
    results = forking.SimpleQueue()
    child = forking.Process(target=in_child, args=(results,))
    child.start()
    child.join(60)
    assert child.exitcode == 0, child.exitcode
    assert results.get() == (96, 128, 3)
    for _ in range(3):
        assert "before this process was forked" in results.get()
    assert results.get() == "closed"
    assert len(list(begun)) == 19
    assert upscaler(image).shape == (96, 128, 3)
    print("done")
"""


def test_a_forked_process_has_upscalers_of_its_own(tmp_path: Path) -> None:
    program = tmp_path / "forking.py"
    program.write_text(FORKED, "utf-8")
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
