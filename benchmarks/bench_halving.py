"""Whether successive halving would find the same learning rates in half the epochs, on the recorded curves.

A search draws learning rates from its kind's own range, all at once. *Whole* trains each to its last epoch. *Halving*
trains all for one epoch, the better half for a second, the better half of those for a third (Jamieson & Talwalkar 2016,
"Non-stochastic Best Arm Identification and Hyperparameter Optimization"). *Fewer* trains as many as the epochs of
halving pay for to the last. The schedule of a trial is the same in all: three epochs long, stopped or not. Regret is
what the found learning rate lacks to the best of the curve, as a share of what training gains.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from typing import NamedTuple

import numpy as np
from bench_edges import joined
from bench_search import Curve, Objective
from support import print_table, write_json

from harness.study.dimension import Dimension
from harness.study.tuning_kinds import TUNING_KINDS


class Answer(NamedTuple):
    """The learning rate that a search takes, and what it trained."""

    rate: float
    epochs: int


def whole(curve: Curve, rates: list[float], objective: Objective) -> Answer:
    last = curve.epochs[objective].shape[1]
    return Answer(best_first(curve, rates, objective, last)[0], last * len(rates))


def halving(curve: Curve, rates: list[float], objective: Objective) -> Answer:
    left, epochs = rates, 0
    for epoch in range(1, curve.epochs[objective].shape[1] + 1):
        epochs += len(left)
        ordered = best_first(curve, left, objective, epoch)
        left = ordered[: math.ceil(len(ordered) / 2)]
    return Answer(left[0], epochs)


def best_first(curve: Curve, rates: list[float], objective: Objective, epoch: int) -> list[float]:
    sign = -1 if objective == "metric" else 1
    return sorted(rates, key=lambda rate: sign * curve.at(rate, objective, epoch - 1))


def regret(curve: Curve, rate: float, objective: Objective) -> float:
    sign, values = 1 if objective == "metric" else -1, curve.epochs[objective][:, -1]
    best = float(max(sign * values))
    return (best - sign * curve.at(rate, objective)) / (best - sign * float(values[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--searches", type=int, default=200, help="for each curve")
    asked = parser.parse_args()
    found: dict[tuple[Objective, str], list[tuple[bool, float, int]]] = defaultdict(list)
    for number, curve in enumerate(joined()):
        low, high = TUNING_KINDS[curve.cell.split("/")[1].partition("-")[0]].rates
        space = Dimension("learning_rate", low, min(high, math.exp(curve.rates[-1])), "log")
        for seed in range(asked.searches):
            places = np.random.default_rng([number, seed]).random(asked.trials)
            rates = [float(space.at(place)) for place in places]
            for objective in ("metric", "loss"):
                full, halved = whole(curve, rates, objective), halving(curve, rates, objective)
                fewer = whole(curve, rates[: round(halved.epochs / full.epochs * asked.trials)], objective)
                for name, answer in (("whole", full), ("halving", halved), ("fewer", fewer)):
                    same = answer.rate == full.rate
                    found[objective, name].append((same, regret(curve, answer.rate, objective), answer.epochs))
    rows = []
    for (objective, name), answers in found.items():
        same, lacks, epochs = (np.mean(column) for column in zip(*answers, strict=True))
        rows.append({"objective": objective, "search": name, "epochs": epochs, "same answer": same, "regret": lacks})
    print_table(rows)
    write_json("halving", rows)


if __name__ == "__main__":
    main()
