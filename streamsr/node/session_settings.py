"""The settings of a stream's sessions: where it is read, what is left of limits, a file beside."""

from pathlib import Path

from streamsr.core.settings import LimitSettings, StreamSettings

__all__ = ["free_beside", "limits_left", "read_at"]


def limits_left(limits: LimitSettings, frames: int, seconds: float) -> LimitSettings:
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


def free_beside(path: Path, number: int) -> Path:
    """Returns NAME.2.mp4 and so on, the first that there is no file of."""
    names = (path.with_name(f"{path.stem}.{n}{path.suffix}") for n in range(number, number + 1000))
    return next(name for name in names if not name.exists())
