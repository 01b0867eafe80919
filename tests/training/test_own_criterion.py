"""Losses of one's own: what is refused of them before anything trains, and how it is seen that labels stand alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.core.errors import TaskError
from harness.study.own_losses import OwnLoss
from harness.training.criteria import Criterion
from harness.training.own_criterion import own_criterion

HEAD = "import torch\nfrom torch.nn import functional as F\n\n\ndef mine(logits, labels, weights):\n    "


def made(folder: Path, body: str) -> Criterion:
    file = folder / "losses.py"
    file.write_text(HEAD + body + "\n", encoding="utf-8")
    return own_criterion(OwnLoss(file, "mine"), 40, torch.device("cpu"))


SOUND = {
    "cross entropy": ('return F.cross_entropy(logits, labels, reduction="none")', True),
    "weighted": ('return F.cross_entropy(logits, labels, reduction="none") * weights', True),
    "by the vocabulary": ("return -(torch.log_softmax(logits, 1) * F.one_hot(labels, 40)).sum(1)", True),
    "masked": ('return F.cross_entropy(logits, labels.where(labels > 20, -100), reduction="none")', True),
    "beside the hardest": (
        'ce = F.cross_entropy(logits, labels, reduction="none")\n    return ce * ce.detach() / ce.detach().max()',
        False,
    ),
    "around the mean": ("own = logits.gather(1, labels[:, None])[:, 0]\n    return (own - own.mean()) ** 2", False),
}


@pytest.mark.parametrize("name", SOUND)
def test_whether_labels_stand_alone(tmp_path: Path, name: str) -> None:
    body, by_token = SOUND[name]
    state = torch.get_rng_state()
    criterion = made(tmp_path, body)
    assert criterion.by_token == by_token
    assert torch.equal(torch.get_rng_state(), state)


def test_what_it_computes(tmp_path: Path) -> None:
    criterion = made(tmp_path, "return (logits.gather(1, labels[:, None])[:, 0] - 1) ** 2 * weights")
    logits, labels = torch.arange(12.0).view(3, 4), torch.tensor([1, 0, 3])
    losses, slope = criterion.slopes(logits, labels)
    assert losses.tolist() == [0.0, 9.0, 100.0]
    assert slope[1].tolist() == [6.0, 0.0, 0.0, 0.0]


def test_its_file_may_have_dataclasses_whose_annotations_are_read_later(tmp_path: Path) -> None:
    file = tmp_path / "losses.py"
    settings = "@dataclass\nclass Settings:\n    power: float = 2.0\n\n\n"
    body = "return logits.sum(1) ** Settings().power"
    imports = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    file.write_text(f"{imports}{settings}{HEAD}{body}\n", encoding="utf-8")
    criterion = own_criterion(OwnLoss(file, "mine"), 40, torch.device("cpu"))
    assert criterion.slopes(torch.ones(1, 3), torch.tensor([0]))[0].tolist() == [9.0]


REFUSED = {
    "a mean": ("return F.cross_entropy(logits, labels)", r"gives shape \(\) for 6 labels; return the loss of each"),
    "a number": ("return 1.0", r"gives 1.0 for 6 labels; return the loss of each, shape \(labels,\)"),
    "no gradient": ("return logits.argmax(1).float()", "has no gradient by the logits; make it of them"),
    "of other rows": ("return torch.ones(6, requires_grad=True)", "cannot be differentiated: .*"),
    "in place": ("logits /= 2\n    return logits.sum(1)", "on 6 labels, raised RuntimeError: a leaf Variable"),
    "labels in place": ("labels += 1\n    return logits.sum(1)", "changes the logits or labels that it is given"),
    "an error": (
        "return logits / 0 + nothing",
        "raised NameError: name 'nothing' is not defined; correct it: it takes",
    ),
    "not finite": ("return torch.log(logits - 100).sum(1)", "is not finite, or its gradient is not"),
    "drawn": ("return (logits * torch.rand_like(logits)).sum(1)", "gives other losses each time"),
    "an end": ("raise SystemExit(0)", "raised SystemExit: 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    body, words = REFUSED[name]
    with pytest.raises(TaskError, match=words) as caught:
        made(tmp_path, body)
    assert f"loss 'mine' of {tmp_path / 'losses.py'}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 / 0\n", "cannot be loaded: it raised ZeroDivisionError: division by zero; correct it"),
        ("mine = 3\n", "'mine' is 3; it must be a function"),
        ("def mine(logits, labels):\n    return logits.sum(1)\n", "raised TypeError: .*3 were given; correct it"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "losses.py"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(TaskError, match=words):
        own_criterion(OwnLoss(file, "mine"), 40, torch.device("cpu"))
