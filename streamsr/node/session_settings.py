"""The settings of a stream's sessions: where it is read, what is left of limits, a file beside."""

from pathlib import Path

from streamsr.core.settings import LimitSettings, StreamSettings
from streamsr.media.addresses import is_pipe_output

__all__ = ["of_later_session", "read_at"]


def of_later_session(
    settings: StreamSettings, number: int, frames: int, seconds: float
) -> StreamSettings:
    """Returns the settings of a session after others that took so many frames, and seconds since
    the first: it writes beside what is there, but into a pipe, whose reader may still be there."""
    settings = settings.model_copy(
        update={"limits": _limits_left(settings.limits, frames, seconds)}
    )
    path = settings.output.path
    if path is None or is_pipe_output(path):
        return settings
    output = settings.output.model_copy(update={"path": _free_beside(path, number)})
    return settings.model_copy(update={"output": output})


def _limits_left(limits: LimitSettings, frames: int, seconds: float) -> LimitSettings:
    """Returns what is left of ``limits`` after so many frames, and seconds since the first."""
    return LimitSettings(
        frames=None if limits.frames is None else max(1, limits.frames - frames),
        seconds=None if limits.seconds is None else max(0.1, limits.seconds - seconds),
    )


def read_at(address: str | None, settings: StreamSettings) -> StreamSettings:
    """Returns settings by which the stream is read at ``address``; None: at its own."""
    if address is None:
        return settings
    given = settings.input.model_copy(update={"url": address})
    return settings.model_copy(update={"input": given})


def _free_beside(path: Path, number: int) -> Path:
    """Returns NAME.2.mp4 and so on, the first that there is no file of."""
    names = (path.with_name(f"{path.stem}.{n}{path.suffix}") for n in range(number, number + 1000))
    return next(name for name in names if not name.exists())
