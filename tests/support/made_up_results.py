"""Results of a study that was never run, and the page they make."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.core.example import Example, Prediction
from harness.metrics import get
from harness.report.charts.draw_chart import draw_chart
from harness.report.charts.figure_files import drawn
from harness.report.charts.gallery import gallery
from harness.report.charts.page_drawings import picture
from harness.report.html.page import page
from harness.report.text.findings import find
from harness.results.cell_result import CellResult, Final, Trial
from harness.results.collect import Results
from harness.results.loss_curves import Losses
from harness.stats.answers import Answered, Answers
from harness.study.search_space import Hyperparameters
from tests.support.search_spaces import learning_rates, rate

__all__ = ["case", "cell", "html", "losses", "referenced", "said", "study"]

TEXT = "the note says that Ada meets Ben at the station on Monday with a map"


def study(*, prompts: int = 2, tunings: int = 3, trials: int = 4, seeds: int = 2, examples: int = 24) -> Results:
    """Return results whose last prompt and tuning copy most of the reference, the first ones little."""
    generator = np.random.default_rng(0)
    cases = tuple(case(number, generator) for number in range(examples))
    metric, cells, answered = get("rougeL"), [], {}
    for p in range(prompts):
        for t in range(tunings):
            tuning = "none" if t == 0 else f"last_blocks-{t}" if t < tunings - 1 else "full"
            share = (p + t) / (prompts + tunings - 2)
            number = seeds if t else 1
            runs = tuple(said(cases, share, np.random.default_rng([p, t, seed])) for seed in range(number))
            answered[f"prompt{p}/{tuning}"] = Answered(runs, seeded=bool(t))
            scores = [
                metric.reduce([metric.statistics(*pair) for pair in zip(run, cases, strict=True)]) for run in runs
            ]
            cells.append(cell(f"prompt{p}", tuning, scores, trials if t else 0))
    return Results(
        study="made-up",
        question="Which one?",
        metrics=("rougeL", "loss"),
        lead="rougeL",
        maximize=True,
        objective="rougeL",
        search={"learning_rate": {"low": 1e-4, "high": 1e-2}, "trials": trials, "sampler": "grid", "pruner": "none"},
        space=learning_rates(1e-4, 1e-2),
        baseline="prompt0/full",
        cells=tuple(cells),
        provenance={"python": "3"},
        data={"test examples": examples},
        answers=Answers(cases, answered, {}),
        metric=metric,
        prompts={f"prompt{p}": "{{ source }}\nTL;DR:" for p in range(prompts)},
        curves={one.id: tuple(losses(seed) for seed in range(seeds)) for one in cells if one.trials},
    )


def losses(seed: int, epochs: int = 3) -> Losses:
    """Return losses that fall by epoch, validation above train."""
    train = {epoch: 2.0 - 0.3 * epoch + 0.01 * seed for epoch in range(1, epochs + 1)}
    return Losses(f"seed {seed}", train, {epoch: loss + 0.05 * epoch for epoch, loss in train.items()})


def case(number: int, generator: np.random.Generator) -> Example:
    """Return an example, its target drawn from the words of a text."""
    known = TEXT.split()
    words = [known[int(place)] for place in generator.integers(len(known), size=12)]
    return Example(f"test-{number}", {"source": " ".join(words * 4)}, " ".join(words))


def said(cases: tuple[Example, ...], share: float, generator: np.random.Generator) -> tuple[Prediction, ...]:
    """Return answers that say each word of the target with this chance."""
    answers = []
    for one in cases:
        kept = [word if generator.random() < share else "um" for word in one.target.split()]
        answers.append(Prediction(one.id, " ".join(kept), 1.0, 12))
    return tuple(answers)


def cell(prompt: str, tuning: str, scores: list[float], trials: int) -> CellResult:
    """Return a cell whose final runs have these scores."""
    rates = np.geomspace(1e-4, 1e-2, trials) if trials else []
    best = rate(float(rates[len(rates) // 2])) if trials else Hyperparameters()
    spent = {"train_seconds": 2.0, "flops": 1e12 * (1 + 3 * scores[0]), "peak_memory_mib": 900.0}
    general = {"generality/perplexity_before": 20.0, "generality/perplexity": 20.0 + 15 * scores[0]}
    finals = (
        Final(str(seed), {"validation/rougeL": x, "test/rougeL": x, **general}, spent) for seed, x in enumerate(scores)
    )
    drawn = (Trial(i, rate(float(x)), "complete", scores[0] - 0.01 * i, {}, spent) for i, x in enumerate(rates))
    params = {"trainable_parameters": "1000"}
    seconds = 10.0 + 40 * scores[-1] + trials
    factors = {"prompt": prompt, "tuning": tuning}
    return CellResult(f"{prompt}/{tuning}", factors, best, tuple(drawn), tuple(finals), params, {}, seconds=seconds)


def html(results: Results) -> str:
    """Return the page of some results."""
    findings = find(results)
    charts = gallery(results, findings)
    pictures = {chart.name: picture(chart, drawn(draw_chart(chart), chart.name)) for chart in charts.charts()}
    return page(results, findings, charts, pictures)


def referenced(plain: Results) -> Results:
    """Return results with a reference row."""
    assert plain.answers is not None
    row = Answered((tuple(Prediction(e.id, "the note", 0.0, 0) for e in plain.answers.examples),), seeded=False)
    answers = plain.answers._replace(references={"lead": row})
    return replace(plain, answers=answers, references={"lead": {"test/rougeL": 0.1}})
