"""A task with a fuse: scoring fails once so many predictions have been scored, in the middle of whatever runs."""

TASK_WITH_FUSE = """\
from pathlib import Path

import numpy as np

from harness import Metric, Task, Template


def burn(prediction, example):
    fuse = Path("fuse")
    if fuse.exists():
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
