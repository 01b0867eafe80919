"""Two words of a text."""

from harness.task import Task
from harness.template import Template

task = Task(
    name="two_words",
    data="data",
    prompts=[
        Template("bare", "{{ source }}\n", shorten="source"),
        Template("colon", "{{ source }}:", shorten="source"),
    ],
    metrics=["chrf", "perplexity", "length_ratio"],
    max_target_tokens=12,
    stop=["\n"],
    references=["copy_source"],
)
