"""Classification heads: the scores and steps of transformers' own classes, live or replayed, drawn by a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from harness.core.errors import DataError, ModelError
from harness.core.example import Example
from harness.data.choice_rows import ChoiceRows, encode_choices
from harness.data.label_words import Label
from harness.data.template import Template
from harness.data.tokenization import Limits
from harness.models.apply_tuning import Trainable, apply, reset
from harness.models.classification_head import begin_head
from harness.models.content_digests import weights_digest
from harness.models.find_blocks import blocks
from harness.models.frozen.replay import Trunk, first_trained
from harness.models.load import Loaded, load
from harness.study.axes import Tuning
from harness.study.spec import Training
from harness.testing import MASKED_FAMILIES
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.memory import ActivationMemory
from harness.training.batching import Batch, loss_batches
from harness.training.choosing import chosen
from harness.training.head_proofs import scores_depend_on_others
from harness.training.loop import fit
from harness.training.loss import ForwardPass
from tests.support.transformers_trainer import losses_seen

NAMES = ("early", "late", "cold")
LABELS = tuple(Label(name, (name,)) for name in NAMES)
PROMPT = Template("plain", "{{ source }}", answers="head", labels=LABELS)
WORDS = ["the", "train", "left", "early", "and", "dinner", "was", "cold", "so", "guests", "came", "late"]
TEXTS = [" ".join(WORDS[n % 5 : 6 + n * 3 % 7]) for n in range(12)]
EXAMPLES = [Example(str(n), {"source": text}, NAMES[n * 5 % 3]) for n, text in enumerate(TEXTS)]

HEAD, LAST, FULL = Tuning(kind="head"), Tuning(kind="last_blocks", blocks=1), Tuning(kind="full")
LORA = Tuning(kind="lora", options={"rank": 2})
FAMILIES = ("gpt2", "llama", "opt", "t5", "bart", *MASKED_FAMILIES)

RATE = 3e-3

TRAINED = {
    "gpt2": {HEAD: ("score.",), LAST: ("score.", "transformer.h.2.", "transformer.ln_f.")},
    "t5": {
        HEAD: ("classification_head.",),
        LAST: ("classification_head.", "transformer.decoder.block.1.", "transformer.decoder.final_layer_norm."),
    },
    "bert": {HEAD: ("classifier.", "bert.pooler."), LAST: ("classifier.", "bert.pooler.", "bert.encoder.layer.2.")},
}
"""What trains, by the beginnings of names as transformers has them."""


@pytest.fixture
def headed(tiny_folder: Callable[..., Path]) -> Callable[..., Loaded]:
    return lambda family, **options: load(str(tiny_folder(family, **options)), labels=NAMES)


def rows_of(loaded: Loaded) -> ChoiceRows:
    rows = encode_choices(EXAMPLES, PROMPT, loaded, limits=Limits(60, 12)).rows
    assert isinstance(rows, ChoiceRows)
    return rows


@contextmanager
def tuned(loaded: Loaded, tuning: Tuning, seed: int = 3) -> Iterator[Trainable]:
    trainable = apply(loaded.model, tuning)
    begin_head(loaded.model, loaded.drawn, seed)
    yield trainable
    reset(loaded.model, trainable)


def plain_twin(folder: Path, loaded: Loaded) -> PreTrainedModel:
    """Return transformers' own model of a folder, with the head that another one has."""
    plain = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3, dtype=torch.float32)
    plain.config.pad_token_id = loaded.tokenizer.pad_token_id
    with torch.no_grad():
        for name in loaded.drawn:
            plain.get_parameter(name).copy_(loaded.model.get_parameter(name))
    return plain.eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_plain_transformers(
    headed: Callable[..., Loaded], tiny_folder: Callable[..., Path], family: str
) -> None:
    loaded, folder = headed(family), tiny_folder(family)
    plain, tokenizer = plain_twin(folder, loaded), AutoTokenizer.from_pretrained(folder)
    rows = rows_of(loaded)
    assert [len(choice.rows) for choice in rows.choices] == [1] * len(EXAMPLES)
    assert not scores_depend_on_others(loaded, ForwardPass(loaded.model), rows)
    found = chosen(ForwardPass(loaded.model), loss_batches(rows, loaded, batch_size=4), LABELS)
    for one, example in zip(found, EXAMPLES, strict=True):
        with torch.no_grad():
            wanted = plain(**tokenizer(example.fields["source"], return_tensors="pt")).logits[0].double().softmax(-1)
        assert list((one.probabilities or {}).values()) == pytest.approx(wanted.tolist(), abs=1e-6)
        assert one.text == NAMES[int(wanted.argmax())]
        assert one.nll == pytest.approx(-wanted[NAMES.index(example.target)].log().item(), abs=1e-5)


def batches_of(loaded: Loaded, rows: ChoiceRows, epoch: int) -> list[Batch]:
    return list(loss_batches(rows, loaded, batch_size=3, order=np.random.default_rng([1, epoch])))


def trainer_losses(model: PreTrainedModel, batches: list[Batch], folder: Path) -> list[float]:
    """Return the Trainer's loss of each step on some batches; the model's own loss, of its ``labels``."""
    ready = [{**batch.inputs, "labels": torch.tensor([choice.right for choice in batch.choices])} for batch in batches]
    return losses_seen(
        model, ready, folder, num_train_epochs=1, learning_rate=RATE, lr_scheduler_type="linear", weight_decay=0.01
    )


@pytest.mark.parametrize("tuning", [HEAD, LAST, FULL], ids=lambda tuning: tuning.name)
@pytest.mark.parametrize("family", TRAINED)
def test_steps_are_those_of_the_trainer(
    headed: Callable[..., Loaded], tiny_folder: Callable[..., Path], family: str, tuning: Tuning, tmp_path: Path
) -> None:
    loaded, spec = headed(family), Training(epochs=5, weight_decay=0.01, schedule="linear", warmup=0.0)
    rows, model = rows_of(loaded), loaded.model
    every = [batch for epoch in range(1, 6) for batch in batches_of(loaded, rows, epoch)]
    assert len(every) >= 20
    with tuned(loaded, tuning) as trainable:
        plain = plain_twin(tiny_folder(family), loaded)
        for name, weight in plain.named_parameters():
            weight.requires_grad_(tuning is FULL or name.startswith(TRAINED[family][tuning]))
        own = [name for name, weight in plain.named_parameters() if weight.requires_grad]
        assert list(trainable.names) == own
        made = partial(batches_of, loaded, rows)
        epochs = fit(ForwardPass(model), trainable, batches=made, spec=spec, learning_rate=RATE, seed=0)
        losses = [loss for epoch in epochs for loss in epoch.losses]
        wanted = trainer_losses(plain, every, tmp_path)
        assert losses == pytest.approx(wanted, abs=1e-5)
        for name in own:
            assert not torch.equal(model.get_parameter(name).cpu(), trainable.pristine.values[name]), name
            assert torch.allclose(model.get_parameter(name), plain.get_parameter(name), atol=2e-4), name


@pytest.mark.parametrize("tuning", [HEAD, LAST], ids=lambda tuning: tuning.name)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_replay_trains_and_scores_as_the_live_model(
    headed: Callable[..., Loaded], family: str, tuning: Tuning
) -> None:
    loaded, found = headed(family), {}
    rows, model = rows_of(loaded), loaded.model
    for replays in (False, True):
        with tuned(loaded, tuning) as trainable:
            trunk, cut = None, first_trained(model)
            if replays:
                cache = ActivationCache(loaded, ActivationMemory(2**28, None), 5, "fp32", pytest.fail)
                trunk = cache.open(("t", "train"), rows, cut, cuts=range(cut, len(blocks(model)) + 1))
                assert isinstance(trunk, Trunk), trunk
            forward = ForwardPass(model, trunk)
            made = partial(batches_of, loaded, rows)
            epochs = fit(forward, trainable, batches=made, spec=Training(epochs=2), learning_rate=1e-2, seed=0)
            losses = [loss for epoch in epochs for loss in epoch.losses]
            said = chosen(forward, loss_batches(rows, loaded, batch_size=4), LABELS)
            found[replays] = losses + [one.nll for one in said]
    assert found[True] == pytest.approx(found[False], rel=1e-4)
    assert found[False][-1] != found[False][-2]


@pytest.mark.parametrize("tuning", [HEAD, LAST, FULL, LORA], ids=lambda tuning: tuning.name)
def test_a_head_is_drawn_by_the_seed_trains_with_whatever_trains_and_goes(
    headed: Callable[..., Loaded], tuning: Tuning
) -> None:
    for family in ("gpt2", "t5", "bert", "modernbert"):
        loaded, drawn = headed(family), {}
        for seed in (0, 1, 0):
            with tuned(loaded, tuning, seed) as trainable:
                drawn.setdefault(seed, []).append(
                    torch.cat([loaded.model.get_parameter(name).detach().flatten() for name in loaded.drawn])
                )
                assert set(loaded.drawn) <= set(trainable.names)
            assert weights_digest(loaded.model) == loaded.digest == headed(family).digest
        assert torch.equal(*drawn[0])
        assert not torch.equal(drawn[0][0], drawn[1][0])


def test_a_text_that_writes_an_end_token_is_refused_where_a_decoder_would_be_asked_there(
    headed: Callable[..., Loaded],
) -> None:
    odd = [Example("7", {"source": "the train </s> left"}, "early")]
    with pytest.raises(DataError, match=r"example '7': its prompt has 2 end tokens \('</s>'\)"):
        encode_choices(odd, PROMPT, headed("t5"), limits=Limits(60, 12))
    encode_choices(odd, PROMPT, headed("gpt2"), limits=Limits(60, 12))


def test_a_family_without_a_class_and_a_trunk_that_is_not_there_are_refused(
    tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="has no class for sequence classification with a MarianConfig"):
        load(str(tiny_folder("marian")), labels=NAMES)
    broken = load(str(tiny_folder("gpt2")), labels=NAMES)
    state = {name: value for name, value in broken.model.state_dict().items() if "h.1." not in name}
    broken.model.save_pretrained(tmp_path, state_dict=state)
    broken.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"lacks 12 weights of GPT2ForSequenceClassification that are not of its head"):
        load(str(tmp_path), labels=NAMES)
