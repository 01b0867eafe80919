"""Another task, which tuning should not spoil: the text again."""

from harness.example import Example
from harness.task import Task
from harness.template import Template


def example(row, id):
    """Return a row with its source as its target."""
    return Example(id=id, fields={"source": row["source"]}, target=row["source"])


task = Task(
    name="copy",
    data="data",
    prompts=[Template("again", "Again: {{ source }} =", shorten="source")],
    metrics=["chrf", "perplexity"],
    max_target_tokens=16,
    example=example,
)
