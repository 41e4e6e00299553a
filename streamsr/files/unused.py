"""What may be said of one stream and is nothing to many files: it is refused, never ignored."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from streamsr.core.errors import ConfigError
from streamsr.core.settings import PipelineSettings
from streamsr.files.plan import FileJob

__all__ = ["refuse_unused"]

GROUPS = ("publish", "sinks", "hls", "record", "serve", "mqtt", "webrtc")
OF_ONE = {"audio_from": "--audio-from", "follow": "--follow", "live": "input.live"}  # an input


def refuse_unused(settings: PipelineSettings, jobs: Sequence[FileJob], folder: Path) -> None:
    """Checks the settings of the first of ``jobs``, whose outputs go below ``folder``: the others'
    are the same but for the two paths. Raises ConfigError for what none of them uses.
    """
    for name, what in _unused(settings, jobs, folder):
        raise ConfigError(f"{name}: got {what}")


def _unused(
    settings: PipelineSettings, jobs: Sequence[FileJob], folder: Path
) -> Iterator[tuple[str, str]]:
    """Yields what is said and not used, and what there is instead."""
    for group in GROUPS:
        if getattr(settings, group) != PipelineSettings.model_fields[group].default:
            yield group, "files that go into a folder and nowhere else, allowed is it of one input"
    if not settings.enabled:
        yield "enabled", "false, allowed is true: nothing could switch it on"
    given = settings.input
    for key, option in OF_ONE.items():
        if getattr(given, key):
            yield option, "a folder of results, allowed is one file into another"
    if given.url != str(jobs[0].source):
        yield "input.url", "inputs beside it, allowed is to name them there"
    if settings.output.path != folder / jobs[0].output:
        yield "output.path", "a folder for the files beside it, allowed is to name that"
    if "rate" in given.model_fields_set and not any(job.is_images for job in jobs):
        yield f"--rate {given.rate}", "videos, which have their own, allowed are folders of images"
    if settings.encoder.model_fields_set and all(job.is_images for job in jobs):
        (first, *_) = sorted(settings.encoder.model_fields_set)
        yield f"encoder.{first}", "folders of images, which are not encoded, allowed are videos"
