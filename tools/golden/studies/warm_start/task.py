"""Two words of a text, scored by surface, by likelihood and by a metric of its own."""

import numpy as np
from harness.task import Task
from harness.template import Template

from harness.metrics import Metric


def first_word(prediction, example):
    """Return whether the answer begins as the target does."""
    return np.array([float(prediction.text.split()[:1] == example.target.split()[:1])])


task = Task(
    name="two_words",
    data="data",
    prompts=[
        Template("bare", "{{ source }}\n", shorten="source"),
        Template("colon", "{{ source }}:", shorten="source"),
    ],
    metrics=[
        "chrf",
        "perplexity",
        "rougeL",
        Metric("first_word", True, first_word, lambda found: float(np.mean(found)), lambda: "first_word|version:1"),
    ],
    max_target_tokens=12,
    stop=["\n"],
    references=["lead_sentence", "lead_words", "copy_source", "frequent_reply", "nearest_reply"],
)
