"""Classification: a short note -> what it is about, one of three labels.

A row of its data:

    {"id": "train-0000",
     "source": "Nobody knows where the old jacket is. Henry slept badly because of his ear. Martin got an appointment
       with the doctor for him on Tuesday at three and goes along.",
     "target": "home"}

Each label is a word that may follow the prompt, or stand where a cloze has its gap; the likeliest one is the answer.
The labels are the targets of train, so that data of your own bring theirs; `data.labels` gives them other words.
"""

from harness import Task, Template

task = Task(
    name="classification",
    data="data/classification",
    prompts=[
        Template("bare", "{{ source }}\n", shorten="source"),
        Template("question", "{{ source }}\nIs this note about work, home or leisure? It is about", shorten="source"),
        Template("cloze", "{{ source }} This note is about my", shorten="source"),
    ],
    metrics=["accuracy", "macro_f1", "calibration_error"],
    max_target_tokens=8,
    answers="likelihood",
    references=["frequent_reply", "nearest_reply"],
)
