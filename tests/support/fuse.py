"""A task with a fuse: scoring fails once a run has scored so many predictions, in the middle of whatever it does.

What a check tries of a metric is not counted: a run's folder is there by then only where it goes on.
"""

TASK_WITH_FUSE = """\
from pathlib import Path

import numpy as np

from harness import Metric, Task, Template


def burn(prediction, example):
    fuse = Path("fuse")
    if fuse.exists() and Path(".harness").exists():
        left = int(fuse.read_text()) - 1
        fuse.write_text(str(left))
        if left == 0:
            fuse.unlink()
            raise RuntimeError("the fuse has burned down")
    return np.array([-prediction.nll])


task = Task(
    name="tiny_task",
    data="data",
    prompts=[Template("bare", "{{ source }}\\n", shorten="source")],
    metrics=[Metric("calm", True, burn, lambda found: float(np.mean(found)), lambda: "calm|version:1"), "perplexity"],
    max_target_tokens=12,
    stop=["\\n"],
)
"""
