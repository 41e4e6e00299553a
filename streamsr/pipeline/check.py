"""What would stop a stream at once, found before a process starts. It imports no torch, no av."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from streamsr.core.devices import pick_device
from streamsr.core.errors import InputError, OutputError, UserError
from streamsr.core.redact import redact
from streamsr.core.settings import EncoderSettings, InputSettings, SinkSettings, StreamSettings
from streamsr.media.addresses import (
    OVERWRITE,
    InputKind,
    check_folder,
    check_writable,
    folder_kind,
    input_kind,
    is_folder_output,
    is_pipe_output,
    scheme_of,
)
from streamsr.plugins.registry import Kind, Plugin, find, unknown
from streamsr.zoo.card import AUTO
from streamsr.zoo.registry import lighter_of, members

__all__ = [
    "check_output_path",
    "check_packets",
    "check_settings",
    "sink_plugin",
    "unused_by_input",
]

CODED = frozenset({"video", "audio", "deinterlace"})
USED = {  # settings of an input that something comes of; all may say give_up_s, for what is live
    InputKind.DEMO: frozenset[str](),
    InputKind.PUBLISHED: frozenset({"deinterlace"}),
    InputKind.LIVE: CODED,
    InputKind.FOLDER: frozenset({"rate", "audio_from"}),
    InputKind.FILE: CODED | {"follow", "follow_s", "max_gap_s"},
    InputKind.PIPE: CODED | {"max_gap_s"},
}
ALLOWED_WITH = {
    "transport": "rtsp:// and rtsps://",
    "rate": "a folder of images",
    "audio_from": "a folder of images",
    "live": "http:// and https://",
    "follow": "a file that still grows",
    "follow_s": "follow = true and a file that still grows",
    "max_gap_s": "a file",
}


def check_settings(settings: StreamSettings) -> None:
    """Raises InputError, ModelError, OutputError or UserError for what the user has to correct."""
    model = settings.model
    kind = input_kind(settings.input.url, settings.input.live)
    if settings.input.follow and kind is not InputKind.FILE:
        raise InputError(
            f"input.follow: got {redact(settings.input.url)}, allowed is a file that still grows"
        )
    _check_audio(settings, kind)
    pick_device(model.device)
    asked = () if model.name == AUTO else (model.name,)
    for name in (*asked, *model.fallback):
        for entry in members(name, model.folders).values():
            lighter_of(entry, model.folders)
    check_output_path(settings)
    for sink in settings.sinks:
        sink_plugin(sink)


def unused_by_input(settings: InputSettings) -> Iterator[tuple[str, object, str]]:
    """Yields what is said of an input that cannot come to anything: the key, what was got, and what
    it is allowed with. A plugin's source says so itself.
    """
    kind, scheme = input_kind(settings.url, settings.live), scheme_of(settings.url)
    used = set(USED.get(kind, InputSettings.model_fields)) | {"url", "give_up_s"}
    if scheme.startswith("http") or (kind is InputKind.LIVE and settings.live):
        used.add("live")
    if scheme.startswith("rtsp"):
        used.add("transport")
    if not settings.follow:
        used.discard("follow_s")
    for key, field in InputSettings.model_fields.items():
        if key not in used and (got := getattr(settings, key)) != field.default:
            yield key, got, ALLOWED_WITH.get(key, "video that is coded")


def check_packets(encoder: EncoderSettings) -> None:
    """Raises UserError where packets would be others than who takes them one by one can take."""
    if encoder.codec != "h264":
        raise UserError(
            f"encoder.codec: got {encoder.codec!r}, allowed is 'h264': it is what viewers, servers "
            "and encoded sinks take; a file alone may have another"
        )
    if encoder.low_delay is False:
        raise UserError(
            "encoder.low_delay: got false, allowed is true: viewers, servers, recordings and "
            "encoded sinks take frames in their order; a file alone may have it"
        )


def sink_plugin(settings: SinkSettings) -> Plugin:
    """Returns the plugin whose scheme an address has. Raises OutputError where there is none."""
    scheme = urlsplit(settings.url).scheme.lower()
    plugin = find(Kind.SINK, scheme)
    if plugin is None:
        raise OutputError(f"sinks: {redact(settings.url)}: {unknown(Kind.SINK, scheme, [])}")
    return plugin


def check_output_path(settings: StreamSettings) -> None:
    """Raises OutputError where ``output.path`` cannot be written, exists, or is the input."""
    path, url, overwrite = settings.output.path, settings.input.url, settings.output.overwrite
    if path is None:
        return
    if is_pipe_output(path):
        check_writable(path)
        return
    exists = _exists(path, url)
    if is_folder_output(path):
        kind = folder_kind(Path(url)) if Path(url).is_dir() else "PNG"
        check_folder(path, kind, overwrite=overwrite)
        if not exists:
            path.rmdir()  # it is made again once there is something to write
    elif exists and not overwrite:
        raise OutputError(f"output {path}: it exists already; {OVERWRITE} replaces it")
    else:
        check_writable(path)


def _check_audio(settings: StreamSettings, kind: InputKind) -> None:
    """Raises InputError where the audio of a file can go under no frames, or into no output."""
    audio_from, path = settings.input.audio_from, settings.output.path
    if audio_from is None:
        return
    if kind is not InputKind.FOLDER:
        raise InputError(
            f"input.audio_from: got {redact(settings.input.url)} as the input, allowed is a folder "
            "of images"
        )
    if path is not None and is_folder_output(path):
        raise InputError(
            f"input.audio_from: got the folder {path} as the output, allowed is a video"
        )
    if not audio_from.is_file():
        raise InputError(f"input.audio_from: got {audio_from}, allowed is a file that is there")


def _exists(path: Path, url: str) -> bool:
    """Whether there is something at ``path``. Raises OutputError where that is the input."""
    try:
        exists = path.exists()
        is_input = exists and os.path.exists(url) and path.samefile(url)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"output {path}: cannot be written: {reason}") from None
    if is_input:
        raise OutputError(f"output {path}: it is the input; it would be lost")
    return exists
