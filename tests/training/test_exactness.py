"""Twenty steps with the frozen part replayed, computed live, and in ``transformers.Trainer``: the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.models.apply_tuning import apply
from harness.models.load import Loaded
from harness.study.axes import Tuning
from harness.testing import FAMILIES
from tests.support.first_of_kind import first_of_kind
from tests.support.training_runs import (
    HEAD,
    LAST,
    LAST_TWO,
    RATE,
    SPEC,
    STEPS,
    encoded,
    opened,
    trained,
    twenty,
    without_key_bias,
)
from tests.support.transformers_trainer import trainer_losses


@pytest.mark.parametrize("tuning", first_of_kind([LAST, HEAD, LAST_TWO]), ids=lambda tuning: tuning.name)
@pytest.mark.parametrize("family", FAMILIES)
def test_twenty_steps(tiny: Callable[..., Loaded], tmp_path: Path, family: str, tuning: Tuning) -> None:
    loaded = tiny(family)
    pristine = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    live = trained(loaded, tuning, None)
    replayed = trained(loaded, tuning, opened(loaded, tuning))
    assert len(live.steps) == STEPS
    assert replayed.steps == pytest.approx(live.steps, rel=1e-6, abs=0)
    assert replayed.nlls == pytest.approx(live.nlls, rel=1e-6, abs=0)
    for name, tensor in live.tensors.items():
        one, other = (without_key_bias(loaded, name, each) for each in (replayed.tensors[name], tensor))
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
        assert not torch.equal(tensor, pristine.get(name, tensor[:0])), f"{name} did not move"
    now = loaded.model.state_dict()
    assert all(torch.equal(now[name], tensor) for name, tensor in pristine.items())

    apply(loaded.model, tuning)
    expected = trainer_losses(loaded, SPEC, twenty(loaded, encoded(loaded)), rate=RATE, folder=tmp_path)
    assert replayed.steps == pytest.approx(expected, rel=1e-5, abs=0)
