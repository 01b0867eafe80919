"""Of weights on disk, those stay that may still be stored: compared with a look at all cells each time."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.template import Template
from harness.runner.finals.checkpoints import Checkpoints
from harness.runner.finals.kept_weights import KeptWeights
from harness.runner.objective import Objective
from harness.study.grid import Cell
from harness.study.spec import Final
from harness.study.tuning import Tuning
from harness.tracking.stored_run import Run

BY_SCORE = Objective("rougeL", True, "rougeL", True)


def final_run(cell: Cell, score: float, loss: float) -> Run:
    metrics = {"validation/rougeL": score, "validation/loss": loss}
    return Run(cell.id, cell.id, "FINISHED", None, {"seed": "11"}, {}, metrics, 0.0, 1.0)


def held(checkpoints: Checkpoints, cells: list[Cell]) -> set[str]:
    return {cell.id for cell in cells if (checkpoints.of(cell.id, "11").folder).exists()}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.3]), st.sampled_from([1.0, 2.0])), max_size=7))
def test_the_weights_of_the_first_so_far_are_left_and_those_of_cells_not_concluded(
    merits: list[tuple[bool, float, float]],
) -> None:
    cells = [Cell(Template(f"p{number}", "{{ source }}"), Tuning(kind="full")) for number in range(len(merits) + 1)]
    with TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), Final(seeds=[11], models="best"))
        for cell in cells:
            checkpoints.of(cell.id, "11").model.mkdir(parents=True)
        kept = KeptWeights(checkpoints, BY_SCORE, cells, lambda cell: cell)
        for place, (is_whole, score, loss) in enumerate(merits):
            run = final_run(cells[place], score, loss)
            kept.concluded(cells[place], [run], run.metrics, is_whole=is_whole)
            seen = [(whole, score, -loss) for whole, score, loss in merits[: place + 1]]
            first = cells[seen.index(max(seen))]
            assert held(checkpoints, cells) == {first.id, *(cell.id for cell in cells[place + 1 :])}
