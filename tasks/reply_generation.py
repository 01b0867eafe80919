"""Reply generation: an e-mail, message or dialogue -> a fitting reply.

A row of its data:

    {"id": "train-0000",
     "source": "Hi Lukas, I am cooking for all of us on Thursday. We still need pears and salt. There is enough
       rice. Best, Maria",
     "target": "Hi Maria, I will bring pears and salt on Thursday, but no rice."}

A conversation that is too long loses its oldest turns first.
"""

from harness import Task, Template

task = Task(
    name="reply_generation",
    data="data/reply_generation",
    prompts=[
        Template("bare", "{{ source }}\n", shorten="source", keep="end"),
        Template("cue", "{{ source }}\nReply:", shorten="source", keep="end"),
        Template(
            "instruction",
            "Write a fitting reply to the message.\n\nMessage: {{ source }}\n\nReply:",
            shorten="source",
            keep="end",
        ),
    ],
    metrics=["rougeL", "chrf", "token_f1", "distinct2", "length_ratio"],
    max_target_tokens=64,
    stop=["\n"],
    references=["frequent_reply", "nearest_reply"],
)
