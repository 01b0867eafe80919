"""Summarization: a short text -> one line.

A row of its data:

    {"id": "train-0000",
     "source": "There is a fair in Athens, and Bruno is going to speak there. The train leaves on Monday at one,
       and on Saturday he is in the office again. It has been raining since the morning.",
     "target": "Bruno travels to Athens on Monday, back on Saturday."}
"""

from harness import Task, Template

task = Task(
    name="summarization",
    data="data/summarization",
    prompts=[
        Template("bare", "{{ source }}\n", shorten="source"),
        Template("cue", "{{ source }}\nTL;DR:", shorten="source"),
        Template("instruction", "Summarize the note in one line.\n\nNote: {{ source }}\n\nSummary:", shorten="source"),
    ],
    metrics=["rougeL", "rouge1", "rouge2", "token_f1", "length_ratio"],
    max_target_tokens=80,
    max_source_tokens=512,
    stop=["\n"],
    references=["lead_sentence", "lead_words"],
)
