"""``fleet upscale``: files upscaled by the machines of a Ray cluster."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from streamsr.cli.batch.file_options import FileOptions, with_options
from streamsr.cli.batch.running import Workplace, plan_of, run_plan
from streamsr.cli.batch.several import is_batch
from streamsr.cli.batch.shown import Together
from streamsr.cli.terminal import progress_bar
from streamsr.core.config import parse
from streamsr.core.errors import InputError, UserError
from streamsr.core.settings import PipelineSettings
from streamsr.core.settings.fleet import FleetGroup
from streamsr.files.plan import FileJob, Plan
from streamsr.files.record import OneRecord
from streamsr.fleet.environment import prepare
from streamsr.media.addresses import check_writable, is_folder_output

__all__ = ["upscale_by_fleet"]

AT_ONCE = 64  # files, at most
NICENESS = 10  # of tasks on machines that have cameras, too


@with_options
def upscale_by_fleet(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT", help="Files, folders of videos or of images."),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT", help="A folder that all hosts share; of one file a file in one."
        ),
    ],
    options: FileOptions,
    address: Annotated[
        str,
        typer.Option(
            "--address", envvar="RAY_ADDRESS", help="Of Ray; local: simulated hosts, here."
        ),
    ] = "auto",
    hosts: Annotated[
        int | None, typer.Option(help="How many hosts are simulated, with --address local; else 3.")
    ] = None,
    part: Annotated[
        float,
        typer.Option(min=0.1, max=3600, help="Seconds of a file that one task upscales."),
    ] = 10.0,
) -> None:
    """Upscale files and folders by the machines of a fleet, each file in parts.

    As upscale: killed, the same command goes on where it was.
    """
    group = parse({"address": address, "hosts": hosts}, FleetGroup, "command line")
    prepare(address)
    settings_of = options.settings_by(options.data(str(inputs[0])))
    named = [str(given) for given in inputs]
    one = _one_file(inputs, output, options.container)
    folder = output if one is None else output.parent

    def plan(known: Mapping[str, str]) -> Plan:
        return one or plan_of(named, folder, options.suffix, known, options.kept)

    @contextmanager
    def workplace(plan: Plan, settings: PipelineSettings) -> Iterator[Workplace]:
        with ExitStack() as opened:
            yield _opened(opened, group, plan, settings, part)

    if one is None:
        run_plan(plan, folder, settings_of, options.as_json, workplace)
    run_plan(
        plan, folder, settings_of, options.as_json, workplace, lambda folder: OneRecord(output)
    )


def _opened(
    opened: ExitStack, group: FleetGroup, plan: Plan, settings: PipelineSettings, part_s: float
) -> Workplace:
    """Joins the cluster, or starts one."""
    from streamsr.fleet.archive.ray_tasks import RayTasks, offered
    from streamsr.fleet.archive.upscaling import FleetUpscaling
    from streamsr.fleet.cluster.client import joined
    from streamsr.fleet.cluster.local import LocalCluster

    opened.enter_context(redirect_stdout(sys.stderr))  # what Ray prints is no result
    address = group.address
    if group.is_local:
        address = opened.enter_context(LocalCluster(group.local_hosts)).address
    opened.enter_context(joined(address))
    asked = settings.model.device
    on_gpus = asked.startswith("cuda") or (asked == "auto" and offered("GPU") > 0)
    device = "cuda" if on_gpus else "cpu"
    at_once = offered("GPU" if on_gpus else "CPU") + 1
    tasks = FleetUpscaling(RayTasks(device), device, part_s, 0 if group.is_local else NICENESS)
    bar = opened.enter_context(progress_bar())
    return Workplace(tasks, Together(plan, bar), min(at_once, AT_ONCE, len(plan.jobs)))


def _one_file(inputs: list[Path], output: Path, container: str | None) -> Plan | None:
    """Returns the plan of one file into one; None where the output is a folder."""
    if is_folder_output(output):
        return None
    is_batch([str(given) for given in inputs], str(output))  # which raises where it is several
    if container is not None:
        raise UserError(f"--container {container}: got one file, whose ending says it")
    source = inputs[0]
    if not source.is_file():
        raise InputError(f"input {source}: there is no such file, allowed is a video")
    if output.exists() and output.samefile(source):
        raise UserError(f"output {output}: it is the input, allowed is another")
    check_writable(output)
    return Plan([FileJob(source, Path(output.name))])
