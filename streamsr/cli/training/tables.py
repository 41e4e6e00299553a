"""What an evaluation found, as tables for a terminal and as Markdown."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from streamsr.train.results import Evaluation, Scores, gain_db

__all__ = ["evaluation_tables", "markdown"]

SHORT = {"float32": "f32", "bfloat16": "bf16", "int8": "int8"}
CLIP_HEADERS = ("clip", "n", "{1} dB", "SSIM", "temp", "{0} dB", "SSIM", "temp", "gain")
MODEL_HEADERS = (
    "model", "dB", "gain", "least", "SSIM", "temp", "RGB", "shift", "ms", "weights", "MAC/px", "in",
)  # fmt: skip


def evaluation_tables(result: Evaluation) -> list[Table]:
    """Returns two tables: a line a clip and one for their mean; a line a model."""
    what = f"x{result.scale} on {result.device}, input {result.seen}"
    title = f"{what}: luma PSNR, SSIM, temporal PSNR"
    clips = [header.format(result.model, result.plain) for header in CLIP_HEADERS]
    return [
        _table(title, clips, _clip_rows(result)),
        _table("", MODEL_HEADERS, _model_rows(result)),
    ]


def _table(title: str, headers: Sequence[str], rows: Iterator[Sequence[str]]) -> Table:
    """A table of narrow columns: a header of two words takes two lines, so does the name of a clip
    or a model that leaves the figures no room."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for header in headers:
        broken = header.replace(" ", "\n").replace("-", "-\n")
        table.add_column(broken, justify="right", no_wrap=True, overflow="fold")
    table.columns[0].justify, table.columns[0].no_wrap = "left", False
    for cells in rows:
        table.add_row(*cells)
    return table


def markdown(result: Evaluation) -> str:
    """Returns both tables as Markdown."""
    return "\n".join(_markdown(table) for table in evaluation_tables(result))


def _markdown(table: Table) -> str:
    headers = [
        str(column.header).replace("-\n", "-").replace("\n", " ") for column in table.columns
    ]
    rows = zip(*(map(str, column.cells) for column in table.columns), strict=True)
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _clip_rows(result: Evaluation) -> Iterator[Sequence[str]]:
    for clip in result.clips:
        rate = "" if clip.kbit_s is None else f"@{clip.kbit_s:g}"
        yield (clip.name + rate, str(clip.frames), *_cells(clip.ours, clip.bicubic))
    frames = str(sum(clip.frames for clip in result.clips))
    yield ("mean", frames, *_cells(result.ours, result.bicubic))


def _cells(ours: Scores, bicubic: Scores) -> Iterator[str]:
    for scores in (bicubic, ours):
        yield f"{scores.psnr_db:.2f}"
        yield _similarity(scores.ssim)
        yield _decibels(scores.temporal_db)
    yield f"{gain_db(ours, bicubic):+.2f}"


def _model_rows(result: Evaluation) -> Iterator[Sequence[str]]:
    means = result.by_model()
    every = [clip.by_model(result.model, result.plain) for clip in result.clips]
    for name, mean in means.items():
        least = min(gain_db(clip[name], clip[result.plain]) for clip in every)
        cost = result.costs[name]
        yield (
            name,
            f"{mean.psnr_db:.2f}",
            f"{gain_db(mean, means[result.plain]):+.2f}",
            f"{least:+.2f}",
            _similarity(mean.ssim),
            _decibels(mean.temporal_db),
            _decibels(mean.rgb_db),
            f"{mean.shift:.2f}",
            f"{mean.ms:.2f}",
            f"{cost.parameters:,}",
            f"{cost.macs:,.0f}",
            SHORT[result.precisions[name]],
        )


def _similarity(value: float) -> str:
    return f"{value:.4f}".lstrip("0")  # a terminal is 80 columns wide


def _decibels(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
