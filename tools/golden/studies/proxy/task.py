"""Two words of a text; the leading metric is lexical."""

from harness.task import Task
from harness.template import Template

task = Task(
    name="two_words",
    data="data",
    prompts=[
        Template("bare", "{{ source }}\n", shorten="source"),
        Template("colon", "{{ source }}:", shorten="source"),
    ],
    metrics=["chrf", "token_f1", "bleu", "ter", "exact_match", "distinct2", "length_ratio"],
    max_target_tokens=12,
    references=["lead_words", "nearest_reply"],
)
