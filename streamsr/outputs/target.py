"""Where one output goes, to a server or into a folder: its name for people, its folder, its job."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from streamsr.core.errors import OutputError
from streamsr.core.redact import protect, redact
from streamsr.core.settings import HlsSettings, PublishSettings, RecordSettings

__all__ = ["Destination", "Target", "check_output"]

Target = PublishSettings | HlsSettings | RecordSettings


def check_output(settings: Target) -> None:
    """Make the folder that ``settings`` name. Raises OutputError where it cannot be written."""
    if isinstance(settings, PublishSettings) or settings.folder is None:
        return
    folder = settings.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".streamsr-"):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"output {folder}: cannot be written: {reason}") from None


class Destination:
    """The place that ``settings`` name. HLS without a folder gets one, to be removed at the end."""

    def __init__(self, settings: Target) -> None:
        self.kind = _kind_of(settings)  # "rtsp", "rtmp", "hls" or "record"
        self.folder: Path | None = None  # of HLS
        self._settings = settings
        self._temporary = False  # the folder is ours
        if isinstance(settings, PublishSettings):
            protect(settings.url)
        elif isinstance(settings, HlsSettings):
            self._temporary = settings.folder is None
            self.folder = settings.folder or Path(tempfile.mkdtemp(prefix="streamsr-hls-"))

    def __str__(self) -> str:
        """For people: an address without its secrets, or a folder."""
        if isinstance(self._settings, PublishSettings):
            return _without_key(redact(self._settings.url))
        return str(self.folder or self._settings.folder)

    def job(self, stream: str) -> dict[str, Any]:
        """What a process is told that brings ``stream`` there."""
        settings = self._settings.model_dump(mode="json")
        if self.folder is not None:
            settings["folder"] = str(self.folder)
        return {
            "kind": self.kind,
            "stream": stream,
            "settings": settings,
            "temporary": self._temporary,
            "parent": os.getpid(),
        }

    def remove_folder(self) -> None:
        """Remove the folder, where it is ours."""
        if self._temporary and self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def _kind_of(settings: Target) -> str:
    if isinstance(settings, HlsSettings):
        return "hls"
    if isinstance(settings, RecordSettings):
        return "record"
    return settings.url[:4].lower()


def _without_key(url: str) -> str:
    """An RTMP address without its last part, which is the key to somebody's channel."""
    if not url.lower().startswith("rtmp"):
        return url
    head, slash, _ = url.rpartition("/")
    return f"{head}{slash}***"
