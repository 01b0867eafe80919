"""Summarization: a short text -> one line.

A row of its data:

    ROW_SUM
"""

from harness.task import Task
from harness.template import Template

task = Task(
    name="summarization",
    data="data/summarization",
    prompts=[
        Template("bare", "{{ source }}\n", shorten="source"),
        Template("cue", "{{ source }}\nTL;DR:", shorten="source"),
        Template("instruction", "Summarize the note in one line.\n\nNote: {{ source }}\n\nSummary:", shorten="source"),
    ],
    metrics=["rougeL", "rouge1", "rouge2", "token_f1", "length_ratio"],
    max_target_tokens=32,
    stop=["\n"],
)
