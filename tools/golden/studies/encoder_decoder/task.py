"""Two words of a text, for a model with an encoder."""

from harness.task import Task
from harness.template import Template

task = Task(
    name="two_words",
    data="data",
    prompts=[
        Template("bare", "{{ source }}", shorten="source"),
        Template("ask", "{% if source %}Two words of: {{ source }}{% endif %}", shorten="source"),
    ],
    metrics=["chrf", "perplexity", "rouge1"],
    max_target_tokens=12,
    references=["copy_source"],
)
