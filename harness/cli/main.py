"""The ``harness`` command. Heavy imports stand inside the commands, so that ``--help`` answers at once."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.control_commands import add_control_commands
from harness.cli.everywhere import Everywhere, Home, Quiet, Verbose
from harness.cli.exit_status import NAME, exit_status
from harness.cli.init_command import add_init_command
from harness.cli.model_commands import add_model_commands
from harness.cli.options import (
    Address,
    AsJson,
    Devices,
    ExecutorOption,
    KnownStudy,
    Overrides,
    StudyPath,
    Values,
    WorkersOption,
    workers_of,
)
from harness.cli.store_commands import add_store_commands, print_json
from harness.cli.terminal import Terminal, bear_every_sign, out, tell
from harness.cli.verbosity import is_quiet, say_as_usual, watched
from harness.core import interrupts
from harness.core.workspace import HERE

__all__ = ["app", "main"]

EPILOG = """\
Examples:
  harness init demo                              write a study and a task
  harness check study.yaml                       find what would fail
  harness run study.yaml search.trials=16        run what is missing
  harness status starter --watch                 see how far it is
  harness compare starter:bare/full starter:bare/head

Environment:
  HARNESS_HOME                 the same as --home
  MLFLOW_TRACKING_URI          the store; left out, mlflow.db
  HARNESS_TOKEN                what callers of `serve` must show
  HARNESS_TRUST_REMOTE_CODE=1  the same as --trust-remote-code
  HARNESS_ALLOW_PICKLE=1       the same as --allow-pickle
  OMP_NUM_THREADS              threads of each worker; left out, all cores divided

Exit status:
  0 done; 2 you must change something; 130 or 143 after Ctrl-C or SIGTERM;
  1 anything else.
"""

app = typer.Typer(
    name="harness",
    help="Studies of prompt-based fine-tuning: which prompt, how much of the network to train, and how sure are we?",
    epilog=EPILOG,
    cls=Everywhere,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command: status 0 done, 2 the user must change something, 130 or 143 after a signal, 1 anything else."""
    bear_every_sign()
    say_as_usual()
    if f"_{NAME.upper()}_COMPLETE" in os.environ:
        app(prog_name=NAME)  # a shell asks what could come next
    with interrupts.listening():
        sys.exit(exit_status(app))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"{NAME} {version('prompt-depth-harness')}\n")
        raise typer.Exit


@app.callback()
def options(
    home: Home = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Studies of prompt-based fine-tuning: which prompt, how much of the network to train, and how sure are we?"""


add_init_command(app)


@app.command(epilog="Example: harness check study.yaml")
def check(study: StudyPath, values: Values = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Find everything that would fail, without loading weights."""
    from harness.cli.check_tables import duplicates, overview
    from harness.runner.study import Study

    checked = Study.load(study, _set(overrides, values)).check()
    if as_json:
        from harness.cli.plain_data import check_data

        print_json(check_data(checked, duplicates(checked)))
        return
    for part in overview(checked):
        out.print(part)
    out.print(f"{study}: ready to run", style="green")


@app.command("lint-prompts", epilog="Example: harness lint-prompts study.yaml")
def lint_prompts(study: StudyPath, values: Values = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Say what in the prompts of a study is allowed, and mostly a slip."""
    from harness.cli.check_tables import lint_lines
    from harness.runner.study import Study

    lints = Study.load(study, _set(overrides, values)).check().lints
    if as_json:
        print_json({"lints": [lint._asdict() for lint in lints]})
        return
    for line in lint_lines(lints):
        out.print(line)
    out.print(f"{study}: {len(lints) or 'no'} lint{'s' * (len(lints) != 1)}", style="yellow" if lints else "green")


@app.command(epilog="Example: harness plan study.yaml --cells 'cue/*'")
def plan(
    study: StudyPath,
    values: Values = None,
    overrides: Overrides = None,
    cells: Annotated[str | None, typer.Option(metavar="PATTERN", help="Plan only cells such as 'cue/*'.")] = None,
    as_json: AsJson = False,
) -> None:
    """Predict what a run would take: steps, recordings, time, memory; probes the model for some seconds."""
    from harness.runner.study import Study

    planned = Study.load(study, _set(overrides, values))
    from harness.runner.progress_display import quiet_libraries

    with watched(out, events=as_json) as progress:
        _ = planned.checked  # before anything heavy is imported
        quiet_libraries()
        made = planned.plan(progress=progress, cells=cells)
    if as_json:
        from harness.cli.plain_data import plan_data

        print_json(plan_data(made))
        return
    for part in made.parts():
        out.print(part, soft_wrap=isinstance(part, str))


@app.command(epilog="Example: harness show study.yaml")
def show(study: StudyPath, values: Values = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Print what trains at each tuning, how is decoded, and a prompt of each kind, in text and in tokens."""
    from harness.cli.check_tables import tunings_and_prompts
    from harness.runner.study import Study

    checked = Study.load(study, _set(overrides, values)).check(test=False, places=False)
    if as_json:
        from harness.cli.plain_data import show_data

        print_json(show_data(checked))
        return
    for part in tunings_and_prompts(checked):
        out.print(part)


@app.command(epilog="Example: harness run study.yaml search.trials=16")
def run(
    study: StudyPath,
    values: Values = None,
    overrides: Overrides = None,
    cells: Annotated[str | None, typer.Option(metavar="PATTERN", help="Run only cells such as 'cue/*'.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over; earlier runs are marked superseded.")] = False,
    workers: WorkersOption = None,
    devices: Devices = "",
    executor: ExecutorOption = "local",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Run what is missing of a study, then write its report."""
    from harness.runner.study import Study

    number = workers_of(workers)
    planned = Study.load(study, _set(overrides, values))
    from harness.cli.check_tables import duplicates
    from harness.cli.event_lines import write_event
    from harness.cli.results_table import print_results, written_report
    from harness.runner.progress_display import quiet_libraries

    with watched(out, events=as_json) as progress:
        checked = planned.checked  # before anything heavy is imported
        quiet_libraries()
        cautions = (f"caution: {caution}" for caution in checked.cautions)
        for line in [*planned.file.placed.notes, *duplicates(checked, across=True), *cautions]:
            if not is_quiet():
                (Terminal(stderr=True) if as_json else out).print(line, style="yellow", soft_wrap=True)
        tell = write_event if as_json else None
        start = partial(planned.run, workers=number, devices=devices, executor=executor, address=address)
        result = start(progress=progress, cells=cells, fresh=fresh, on_event=tell)
    if as_json:
        return
    print_results(out, result.results, result.findings)
    ui = f"harness ui {study if planned.file.study.tracking.uri else result.results.study}"
    if not is_quiet():
        out.print(f"next: {ui}", soft_wrap=True)
    out.print(written_report(result.folder), soft_wrap=True)


@app.command(epilog="Example: harness report starter")
def report(study: KnownStudy) -> None:
    """Write a study's report again from what the store holds."""
    from harness.cli.results_table import print_results, written_report
    from harness.runner.result import Result

    result = Result.load(study)
    result.report()
    print_results(out, result.results, result.findings)
    out.print(written_report(result.folder), soft_wrap=True)


@app.command(epilog="Example: harness compare starter:bare/full starter:polite/full")
def compare(
    a: Annotated[str, typer.Argument(help="A study, study:prompt/tuning, or a final run's id.")],
    b: Annotated[str, typer.Argument(help="What A is held against, likewise.")],
    metric: Annotated[str | None, typer.Option(help="Left out: the one that leads both studies.")] = None,
    split: Annotated[str, typer.Option(metavar="{test,validation}", help="Which examples.")] = "test",
    file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the comparison as JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two studies, cells or runs on the same examples, from what the store holds."""
    from harness.core.whole_files import write_whole
    from harness.report.compare import compare_studies, render_comparison

    written = render_comparison.writable(file) if file else None
    compared = compare_studies.compare(a, b, metric=metric, split=split)
    if written:
        write_whole(written, render_comparison.as_json(compared))
    if as_json:
        print_json(json.loads(render_comparison.as_json(compared)))
        return
    out.print(render_comparison.table(compared))
    out.print(render_comparison.sentence(compared), soft_wrap=True)
    if written:
        out.print(f"written: {written}", soft_wrap=True)


@app.command(epilog="Example: harness tasks")
def tasks() -> None:
    """List the tasks that travel with the harness."""
    from harness.cli.check_tables import task_tables

    for part in task_tables():
        out.print(part, soft_wrap=isinstance(part, str))


@app.command(epilog="Example: harness clean starter --dry-run")
def clean(
    study: KnownStudy,
    recordings: Annotated[bool, typer.Option("--recordings", help="Recordings of frozen parts too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
) -> None:
    """List what a study no longer needs, ask, and delete it: caches, superseded runs, models that nothing names."""
    from harness.cli.clean_up import clean_up

    clean_up(study, HERE, tell, recordings=recordings, dry_run=dry_run, yes=yes)


add_model_commands(app)
add_store_commands(app)
add_control_commands(app)


def _set(overrides: list[str] | None, values: list[str] | None) -> list[str]:
    return [*(overrides or ()), *(values or ())]
