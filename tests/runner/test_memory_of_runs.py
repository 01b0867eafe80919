"""How runs are made to fit the memory: told by their tags, and no part of what a cell is."""

from __future__ import annotations

import pytest

from tests.support.study_fixture import QUICK, Places

ONE = ("--set", "prompts=[bare]", "--set", "tuning=[none, full]", *QUICK)
SWITCH = "training.gradient_checkpointing"


@pytest.mark.slow
def test_computing_blocks_again_makes_no_other_cell_and_is_said(places: Places) -> None:
    light, plain = places(), places()
    light.run(*ONE, "--set", f"{SWITCH}=true")
    plain.run(*ONE)
    for place, said in ((light, "on"), (plain, "off: a step holds about ")):
        for phase in ("search", "final"):
            tags = [run.data.tags.get("gradient_checkpointing", "") for run in place.runs(phase, cell="bare/full")]
            assert len(tags) == 1
            assert tags[0].startswith(said)
    one, other = (place.runs("cell", cell="bare/full")[0] for place in (light, plain))
    assert one.data.tags["mlflow.harness.cell_digest"] == other.data.tags["mlflow.harness.cell_digest"]
    assert SWITCH not in one.data.params
    names = [name for name in one.data.metrics if name.startswith(("validation/", "test/"))]
    assert names
    assert {name: one.data.metrics[name] for name in names} == {name: other.data.metrics[name] for name in names}
    (trial,), (lighter,) = plain.runs("search"), light.runs("search")
    assert lighter.data.metrics["cost/flops"] > trial.data.metrics["cost/flops"], "what is computed again is counted"
    results = light.results()
    assert "2 cells, 0 training runs to do" in light.run(*ONE, "--set", f"{SWITCH}=false").out
    assert light.results() == results
