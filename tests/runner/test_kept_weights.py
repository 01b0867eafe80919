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


CONCLUDED = st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.3]), st.sampled_from([1.0, 2.0]))


@settings(max_examples=100)
@given(st.data(), st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_the_weights_of_the_first_so_far_are_left_and_those_of_which_not_all_is_known(
    data: st.DataObject, leads: list[int]
) -> None:
    cells = [Cell(Template(f"p{number}", "{{ source }}"), Tuning(kind="full")) for number in range(len(leads))]
    lead = {cell: cells[leads.index(number)] for cell, number in zip(cells, leads, strict=True)}
    merits = {cell: data.draw(CONCLUDED) for cell in cells}
    seen: list[Cell] = []
    with TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), Final(seeds=[11], models="best"))
        for cell in set(lead.values()):
            checkpoints.of(cell.id, "11").model.mkdir(parents=True)
        kept = KeptWeights(checkpoints, BY_SCORE, cells, lead.__getitem__)
        for cell in data.draw(st.permutations(cells)):
            whole, score, loss = merits[cell]
            run = final_run(cell, score, loss)
            kept.concluded(cell, [run], run.metrics, is_whole=whole)
            seen.append(cell)
            unknown = {lead[other].id for other in cells if other not in seen}
            known = [other for other in cells if lead[other].id not in unknown]  # in grid order, as ties are ranked
            ranked = sorted(known, key=lambda other: (not merits[other][0], -merits[other][1], merits[other][2]))
            assert held(checkpoints, cells) == {*unknown, *(lead[other].id for other in ranked[:1])}
