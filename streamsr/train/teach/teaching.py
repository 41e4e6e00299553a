"""A camera teaches itself: its two streams become pairs, by which a model is trained further.

Nothing is kept that is not better than what it began with, and than what is there under its name
already, on the end of the recording, which training did not see.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from math import log
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from streamsr.core.errors import InputError, ModelError
from streamsr.train.evaluation import evaluate
from streamsr.train.finetune import TrainingTime, Tuned, further, tuned
from streamsr.train.loop import Trainer
from streamsr.train.model_folder import ModelFolder
from streamsr.train.results import Evaluation
from streamsr.train.settings import TrainSettings
from streamsr.train.teach.alignment import Alignment, align
from streamsr.train.teach.pair_clips import LOW, TRUTH, PairClip, Use, planned, write_pairs
from streamsr.train.teach.recording import Recorded
from streamsr.train.teach.taught import Stage, Taught, write_figures
from streamsr.train.teach.thumbnails import told_apart
from streamsr.train.teach.time_limit import TimeLimit
from streamsr.train.teach.truth import Grid, grid_of
from streamsr.train.whole_file import whole_file
from streamsr.zoo.card import CARD_NAME
from streamsr.zoo.loading import load_model
from streamsr.zoo.registry import Entry, find

__all__ = ["closest_member", "teach", "trainable"]

DESCRIPTION = "pairs.json"
SCORED_S = 6e-4  # a limit for each pixel of the truth from which on all is scored
PAIR_S = 0.1e-6  # about what a pair's pixel costs until it can be trained on
PAIR_SHARE = 0.15  # of the time, for making pairs
RESERVE = 1.5  # times as long as it took to score one model, to score the other
MOST, LEAST = 1200, 60  # frames to train on


def trainable(members: Mapping[int, Entry]) -> dict[int, Entry]:
    """Returns the members that can be trained further. Raises ModelError where there is none."""
    found = {scale: entry for scale, entry in members.items() if entry.card.weights is not None}
    if not found:
        name = next(iter(members.values())).family
        raise ModelError(f"--init {name!r}: got a filter, allowed is a family with weights")
    return found


def closest_member(members: Mapping[int, Entry], ratio: float) -> Entry:
    """Returns the member whose scale is the nearest to how much finer the main stream is."""
    larger = {scale: entry for scale, entry in members.items() if scale > 1} or members
    return larger[min(larger, key=lambda scale: abs(log(scale / ratio)))]


def teach(
    recorded: Recorded,
    members: Mapping[int, Entry],
    *,
    name: str,
    runs: Path,
    minutes: float,
    most_s: float | None = None,
    report: Callable[[Stage], None] = lambda progress: None,
) -> Taught:
    """Aligns a recording, trains the member that fits on it and scores what came of it, all of it
    within ``minutes``; ``most_s``: of the recording.

    Goes on where the same was begun before; of another recording it begins again. A model of this
    name that is there already stays unless the new one is as good. Raises InputError where the two
    files cannot be aligned or are too short, or the time is over before anything was trained,
    ModelError where the model that is there is of another scale, and what ``Trainer`` and ``tuned``
    raise.
    """
    limit = TimeLimit(minutes)
    in_time = limit.kept(report)
    alignment = align(recorded, most_s, lambda doing, n: in_time(Stage(doing, n)))
    entry = closest_member(members, alignment.ratio)
    pairs = _made(recorded, alignment, entry, runs / name / "pairs", limit.seconds, in_time)
    settings = _settings(entry, pairs, name, runs)
    unseen = pairs.folder / Use.UNSEEN
    began = monotonic()
    before = _scored(unseen, entry, pairs, "scoring what it begins with", in_time)
    score_s = RESERVE * (monotonic() - began)
    model = ModelFolder.of(settings)
    known = _there(model.place, entry)
    there = None
    if known is not None:
        there = _scored(unseen, known, pairs, "scoring the one that is there", in_time)
    limit.check("scoring what it begins with; nothing was trained", spare_s=score_s)

    def training(time: TrainingTime) -> None:
        said = f"s, step {time.step}, loss {time.loss:.5f}"
        report(Stage("training", round(time.seconds), round(time.of_seconds), said))

    try:
        made = tuned(Trainer(settings), entry, limit.end - score_s, report=training)
        after = _scored(unseen, find(str(made.folder)), pairs, "scoring the new one", report)
        result = _result(entry, alignment, pairs, made, (before, after, there))
        if not result.better:
            return result
        write_figures(made.folder, result)
        return replace(result, folder=model.put_in_place())
    finally:
        model.discard()  # nobody is to take it for better


def _there(place: Path, entry: Entry) -> Entry | None:
    """The model of an earlier run, if it can be used. Raises ModelError where it is of another
    scale."""
    if not (place / CARD_NAME).exists():
        return None
    try:
        known = find(str(place))
        load_model(known, torch.device("cpu"))
    except ModelError:
        return None
    if known.facts.scale != entry.facts.scale:
        raise ModelError(
            f"--name: {place} is a model of scale {known.facts.scale}, allowed is a name whose "
            f"model is of scale {entry.facts.scale}, or has none yet"
        )
    return known


def _result(
    entry: Entry,
    alignment: Alignment,
    pairs: "_Pairs",
    made: Tuned,
    scores: tuple[Evaluation, Evaluation, Evaluation | None],
) -> Taught:
    """What is known before anything is kept; ``scores``: before, after, and of what was there."""
    geometry, main = alignment.geometry, alignment.main
    before, after, there = scores
    return Taught(
        begun_with=entry.name,
        folder=None,
        begun_again=made.begun_again,
        steps=made.steps,
        pairs=pairs.counts,
        scale=entry.facts.scale,
        exact=pairs.grid.exact,
        lag_s=round(alignment.matches.lag_s, 4),
        drift=round(alignment.matches.drift, 7),
        moving=alignment.matches.moving,
        left=float(geometry.left * main.width),
        top=float(geometry.top * main.height),
        width=float(geometry.width * main.width),
        height=float(geometry.height * main.height),
        alike=alignment.agreement.alike,
        before=before,
        after=after,
        there=there,
    )


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The pairs of a recording on the disk."""

    folder: Path
    footage: str  # what tells what they were made of from other recordings
    grid: Grid
    counts: Mapping[str, int]


def _made(
    recorded: Recorded,
    alignment: Alignment,
    entry: Entry,
    folder: Path,
    limit_s: float,
    report: Callable[[Stage], None],
) -> _Pairs:
    """Writes the pairs, where they are not there already."""
    main, sub = alignment.main, alignment.sub
    facts = entry.facts
    try:
        grid = grid_of(
            alignment.geometry,
            (main.width, main.height),
            (sub.width, sub.height),
            facts.scale,
            facts.multiple,
        )
    except ValueError as error:
        raise InputError(f"--main, --sub: {error}") from None
    grid = grid.lit(alignment.light, alignment.overlaid)
    truth = grid.width * grid.height * facts.scale**2  # pixels
    affordable = int(PAIR_SHARE * limit_s / (truth * PAIR_S))
    most = min(MOST, max(LEAST, affordable))
    clips = planned(alignment, most, facts.window + 7, min(1.0, limit_s / (truth * SCORED_S)))
    counts = {part.value: sum(len(c.subs) for c in clips if c.part is part) for part in Use}
    footage = told_apart(main, sub)
    described = json.dumps(_description(footage, alignment, grid, clips), indent=1) + "\n"
    written = folder / DESCRIPTION
    with suppress(OSError):
        if written.read_text(encoding="utf-8") == described:
            return _Pairs(folder, footage, grid, counts)
    shutil.rmtree(folder, ignore_errors=True)
    total = sum(counts.values())
    try:
        write_pairs(
            recorded, clips, grid, folder, lambda n: report(Stage("making pairs", n, total))
        )
        with whole_file(written) as file:
            file.write(described.encode())
    except BaseException:  # what is not whole would only take up the disk
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return _Pairs(folder, footage, grid, counts)


def _description(
    footage: str, alignment: Alignment, grid: Grid, clips: list[PairClip]
) -> dict[str, Any]:
    """What pairs follow from: those of the same description are the same."""
    geometry, matches = alignment.geometry, alignment.matches
    return {
        "footage": footage,
        "main": alignment.main.name,
        "sub": alignment.sub.name,
        "lag_s": matches.lag_s,
        "drift": matches.drift,
        "crop": [float(value) for value in asdict(geometry).values()],
        "light": [alignment.light.gain, alignment.light.bias],
        "scale": grid.scale,
        "used": [grid.left, grid.top, grid.width, grid.height],
        "exact": grid.exact,
        "overlaid": 0 if grid.overlaid is None else int(grid.overlaid.sum()),
        "clips": [[c.part.value, int(c.subs[0]), int(c.mains[0]), len(c.subs)] for c in clips],
    }


def _settings(entry: Entry, pairs: _Pairs, name: str, runs: Path) -> TrainSettings:
    train, choose = (pairs.folder / part for part in (Use.TRAIN, Use.CHOOSE))
    data = {
        "train": train / TRUTH,
        "low": train / LOW,
        "valid": choose / TRUTH,
        "valid_low": choose / LOW,
        "footage": pairs.footage,
        "cache": pairs.folder / "cache",
    }
    settings = further(entry, data, "the main stream of the camera itself", name, runs)
    multiple = entry.facts.multiple
    side = min(pairs.grid.width, pairs.grid.height) // multiple * multiple
    patch = min(settings.data.patch, side)
    if patch < 16:
        raise InputError(
            f"--sub: {pairs.grid.width}x{pairs.grid.height} pixels of it can be used, allowed are "
            "16 a side and more"
        )
    smaller = settings.data.model_copy(update={"patch": patch})
    return settings.model_copy(update={"data": smaller})


def _scored(
    unseen: Path,
    entry: Entry,
    pairs: _Pairs,
    stage: str,
    report: Callable[[Stage], None],
) -> Evaluation:
    """Scores a model on what training does not see, by what a stream of it runs."""
    done = 0

    def told(_: object) -> None:
        nonlocal done
        done += 1
        report(Stage(stage, done, pairs.counts[Use.UNSEEN]))

    device = torch.device("cpu")
    return evaluate(unseen / TRUTH, entry, device, low=unseen / LOW, report=told)
