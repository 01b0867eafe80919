"""The ``harness`` command. Heavy imports stand inside the commands, so that ``--help`` answers at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.exit_status import exit_status
from harness.cli.options import (
    LOOPBACK,
    AllowPickle,
    Host,
    KnownStudy,
    ModelName,
    OnError,
    Overrides,
    Port,
    StudyPath,
    Token,
    TrustRemoteCode,
)
from harness.cli.terminal import Terminal, bear_every_sign
from harness.cli.until_signal import until_signal
from harness.core import interrupts
from harness.core.permissions import Permissions
from harness.core.workspace import HERE

__all__ = ["app", "main"]

app = typer.Typer(
    name="harness",
    help="Studies of prompt-based fine-tuning: which prompt, how much of the network to train, and how sure are we?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Terminal(width=None if sys.stdout.isatty() else 120)


def main() -> None:
    """Run the command: status 0 done, 2 the user must change something, 130 or 143 after a signal, 1 anything else."""
    if "OMP_WAIT_POLICY" not in os.environ:
        # Threads that spin long while they wait are slowed up to ten times over by any other busy process.
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    bear_every_sign()
    with interrupts.listening():
        sys.exit(exit_status(app))


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Where to write; made if it is not there.")] = Path()) -> None:
    """Write a starter study, a starter task and a little data, ready to run."""
    from harness.cli.new_study import write_starter

    for file in write_starter(folder):
        out.print(f"wrote {file}")
    where = "" if folder == Path() else f"cd {folder} && "
    out.print(f"next: {where}harness run study.yaml")


@app.command()
def check(study: StudyPath, overrides: Overrides = None) -> None:
    """Find everything that would fail, without loading weights."""
    from harness.cli.check_tables import overview
    from harness.runner.study import Study

    for part in overview(Study.load(study, overrides or ()).check()):
        out.print(part)
    out.print(f"{study}: ready to run", style="green")


@app.command()
def plan(
    study: StudyPath,
    overrides: Overrides = None,
    cells: Annotated[str | None, typer.Option(metavar="PATTERN", help="Plan only cells such as 'cue/*'.")] = None,
) -> None:
    """Predict what a run would take: steps, recordings, time, memory; probes the model for some seconds."""
    from harness.runner.study import Study

    planned = Study.load(study, overrides or ())
    from harness.cli.progress_display import progress_on, quiet_libraries

    with progress_on(out) as progress:
        _ = planned.checked  # before anything heavy is imported
        from harness.cli.plan_tables import plan_tables

        quiet_libraries()
        made, file = planned.plan(progress=progress, cells=cells)
    for part in plan_tables(made):
        out.print(part)
    out.print(f"kept for the report: {file}", soft_wrap=True)


@app.command()
def show(study: StudyPath, overrides: Overrides = None) -> None:
    """Print what trains at each tuning, with counts, and a prompt of each kind, in text and in tokens."""
    from harness.cli.check_tables import tunings_and_prompts
    from harness.runner.study import Study

    for part in tunings_and_prompts(Study.load(study, overrides or ()).check(test=False, places=False)):
        out.print(part)


@app.command()
def run(
    study: StudyPath,
    overrides: Overrides = None,
    cells: Annotated[str | None, typer.Option(metavar="PATTERN", help="Run only cells such as 'cue/*'.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over; earlier runs are marked superseded.")] = False,
) -> None:
    """Run what is missing of a study, then write its report."""
    from harness.runner.study import Study

    planned = Study.load(study, overrides or ())
    from harness.cli.check_tables import duplicates
    from harness.cli.progress_display import progress_on, quiet_libraries
    from harness.cli.results_table import print_results

    with progress_on(out) as progress:
        checked = planned.checked  # before anything heavy is imported
        quiet_libraries()
        for line in [
            *planned.file.placed.notes,
            *duplicates(checked, across=True),
            *(f"caution: {caution}" for caution in checked.cautions),
        ]:
            out.print(line, style="yellow", soft_wrap=True)
        result = planned.run(progress=progress, cells=cells, fresh=fresh)
    print_results(out, result.results, result.findings)
    ui = f"harness ui {study if planned.file.study.tracking.uri else result.results.study}"
    out.print(f"next: {ui}", soft_wrap=True)
    out.print(f"report: {result.folder / 'report.html'}, as text {result.folder / 'report.md'}", soft_wrap=True)


@app.command()
def report(study: KnownStudy) -> None:
    """Write a study's report again from what the store holds."""
    from harness.cli.results_table import print_results
    from harness.runner.result import Result

    result = Result.load(study)
    page = result.report()
    print_results(out, result.results, result.findings)
    out.print(f"report: {page}", soft_wrap=True)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A study, study:prompt/tuning, or a final run's id.")],
    b: Annotated[str, typer.Argument(help="What A is held against, likewise.")],
    metric: Annotated[str | None, typer.Option(help="Left out: the one that leads both studies.")] = None,
    split: Annotated[str, typer.Option(help="test, or validation.")] = "test",
    file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the comparison as JSON.")] = None,
) -> None:
    """Compare two studies, cells or runs on the same examples, from what the store holds."""
    from harness.core.whole_files import write_whole
    from harness.report.compare import compare_studies, render_comparison

    written = render_comparison.writable(file) if file else None
    compared = compare_studies.compare(a, b, metric=metric, split=split)
    out.print(render_comparison.table(compared))
    out.print(render_comparison.sentence(compared), soft_wrap=True)
    if written:
        write_whole(written, render_comparison.as_json(compared))
        out.print(f"written: {written}", soft_wrap=True)


@app.command()
def ui(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="Open on this study.")] = None,
    port: Port = None,
) -> None:
    """Start the MLflow UI on the studies' store."""
    with until_signal(out):
        from harness.cli.mlflow_ui import serve_ui

        serve_ui(study, port=port, tell=_tell)


@app.command()
def predict(
    model: ModelName,
    source: Annotated[Path, typer.Option("--input", help="Rows as jsonl, with the prompt's fields and maybe an id.")],
    output: Annotated[Path, typer.Option("--output", help="Where answers go, a line each; what is there is kept.")],
    on_error: Annotated[OnError, typer.Option(help="A malformed row: stop there, or note it.")] = OnError.STOP,
    trust_remote_code: TrustRemoteCode = False,
    allow_pickle: AllowPickle = False,
) -> None:
    """Answer the rows of a file; the same command again goes on where it was stopped."""
    from harness.cli.progress_display import progress_on
    from harness.serving.find_model import stored_model
    from harness.serving.generator import Generator
    from harness.serving.predict import predict_file

    with progress_on(out) as progress:
        with stored_model(model) as folder:
            generator = Generator(folder, Permissions(trust_remote_code, allow_pickle))
        tally = predict_file(generator, source, output, skip=on_error is OnError.SKIP, say=progress.say)
    skipped = f", {tally.failed:,} malformed" if tally.failed else ""
    before = f", {tally.found:,} were there" if tally.found else ""
    out.print(f"{output}: {tally.answered:,} rows answered{skipped}{before}", soft_wrap=True)


@app.command()
def serve(
    model: ModelName,
    port: Port = None,
    host: Host = LOOPBACK,
    token: Token = None,
    trust_remote_code: TrustRemoteCode = False,
    allow_pickle: AllowPickle = False,
) -> None:
    """Serve a model over HTTP, until Ctrl-C."""
    with until_signal(out):
        from harness.serving.serve import serve_model

        allowed = Permissions(trust_remote_code, allow_pickle)
        serve_model(model, host=host, port=port, token=token, tell=_tell, allowed=allowed)


@app.command()
def reproduce(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A final run's id, or how it begins.")],
    trust_remote_code: TrustRemoteCode = False,
    allow_pickle: AllowPickle = False,
) -> None:
    """Do a final run again from what the store holds: status 0 the same to the last bit, 1 different, 2 it cannot."""
    from harness.cli.progress_display import progress_on
    from harness.runner.reproduce import reproduce as do_again

    with progress_on(out) as progress:
        done = do_again(run, HERE, progress=progress, allowed=Permissions(trust_remote_code, allow_pickle))
    for changed in done.changed:
        out.print(f"changed: {changed}", style="yellow", soft_wrap=True)
    for different in done.differences:
        out.print(f"different: {different}", style="red", soft_wrap=True)
    count = len(done.compared)
    if done.differences:
        out.print(f"{done.run}: {len(done.differences)} of {count} results differ")
        raise typer.Exit(1)
    out.print(f"{done.run}: {count} results, weights among them, are the same to the last bit", style="green")


@app.command()
def tasks() -> None:
    """List the tasks that travel with the harness."""
    from harness.cli.check_tables import task_tables

    for part in task_tables():
        out.print(part, soft_wrap=isinstance(part, str))


@app.command()
def clean(
    study: KnownStudy,
    recordings: Annotated[bool, typer.Option("--recordings", help="Recordings of frozen parts too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
) -> None:
    """List what a study no longer needs, ask, and delete it: caches, superseded runs, models that nothing names."""
    from harness.cli.clean_up import clean_up

    clean_up(study, HERE, _tell, recordings=recordings, dry_run=dry_run, yes=yes)


def _tell(line: str) -> None:
    out.print(line, soft_wrap=True)
