"""What goes wrong is of streamsr's own errors, and says what was got and what is allowed."""

from collections.abc import Callable

import numpy as np

import streamsr


def said(action: Callable[[], object], kind: type[streamsr.StreamsrError]) -> str:
    try:
        action()
    except kind as error:
        return str(error)
    return ""


def wrong(image: object) -> str:
    def run() -> None:
        with streamsr.Upscaler("bicubic") as upscaler:
            upscaler(image)  # type: ignore[call-overload]

    return said(run, streamsr.InputError)


def push_to_a_closed_one() -> None:
    upscaler = streamsr.Upscaler("bicubic")
    upscaler.close()
    upscaler.push(np.zeros((8, 8), np.uint8))


assert "got dtype int64, allowed are uint8" in wrong(np.zeros((8, 8), np.int64))
assert "not finite" in wrong(np.full((8, 8), np.nan, np.float32))
assert "got shape (8, 8, 2)" in wrong(np.zeros((8, 8, 2), np.uint8))
assert "got str" in wrong("in.png")
assert "did you mean 'fast'" in said(lambda: streamsr.Upscaler("fasst"), streamsr.ModelError)
assert "allowed are 720p" in said(lambda: streamsr.Upscaler(size="8k"), streamsr.ConfigError)
assert "got 'gpu'" in said(lambda: streamsr.Upscaler(device="gpu"), streamsr.UserError)
assert "closed" in said(push_to_a_closed_one, streamsr.InputError)
