"""The files that ground truth is read from: clips, photographs, PNG frames. Opens none of them.

It imports no torch: a wrong folder is refused at once.
"""

from pathlib import Path

from streamsr.core.errors import InputError
from streamsr.media.addresses import image_kind

__all__ = ["CLIP_SUFFIXES", "DEMO", "clip_paths", "footage_folder", "still_paths", "target_paths"]

DEMO = Path("demo")  # in place of a folder of clips: that of the built-in camera's
DEMO_CLIPS = Path(__file__).parents[1] / "sources"

CLIP_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".ts", ".webm", ".y4m")
CLIP_ENDINGS = ", ".join(CLIP_SUFFIXES)
STILL_SUFFIXES = (".jpeg", ".jpg", ".png")


def footage_folder(said: Path) -> Path:
    """Returns the folder of clips that somebody names: ``DEMO``, or a folder as it is."""
    return DEMO_CLIPS if str(said).rstrip(":") == str(DEMO) else said


def clip_paths(folder: Path) -> list[Path]:
    """Returns the clips of a folder by name. Raises InputError where there is none."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: there is no such folder of clips; --data FOLDER names another, and --data "
            f"{DEMO} the built-in camera's clip"
        )
    clips = [path for path in folder.glob("*") if path.suffix.lower() in CLIP_SUFFIXES]
    if not clips:
        raise InputError(f"{folder}: there is no clip here; allowed endings are {CLIP_ENDINGS}")
    return sorted(clips)


def still_paths(folder: Path) -> list[Path]:
    """Returns the photographs of a folder by name. Raises InputError where there is none."""
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in STILL_SUFFIXES)
    except OSError as error:
        raise InputError(f"stills {folder}: cannot be read: {error.strerror}") from None
    if not paths:
        allowed = ", ".join(STILL_SUFFIXES)
        raise InputError(f"stills {folder}: there is no photograph; allowed endings are {allowed}")
    return paths


def target_paths(target: Path) -> list[Path]:
    """Returns the clips that an evaluation's ``target`` names: files, and folders of PNG frames.

    Raises InputError where there is none.
    """
    if target.is_file() or _holds_images(target):
        return [target]
    try:
        inside = sorted(target.iterdir())
    except OSError as error:
        raise InputError(f"target {target}: cannot be read: {error.strerror}") from None
    clips = [p for p in inside if p.suffix.lower() in CLIP_SUFFIXES or _holds_images(p)]
    if not clips:
        raise InputError(
            f"target {target}: there are neither PNG frames, nor folders of them, nor clips here; "
            f"allowed endings of clips are {CLIP_ENDINGS}"
        )
    return clips


def _holds_images(place: Path) -> bool:
    return place.is_dir() and any(image_kind(path) == "PNG" for path in place.iterdir())
