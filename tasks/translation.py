"""Translation: an English sentence -> the same in German (or whatever language the data holds).

A row of its data:

    {"id": "train-0000",
     "source": "The dolls are at the restaurant.",
     "target": "Die Puppen sind im Restaurant."}
"""

from harness import Task, Template

task = Task(
    name="translation",
    data="data/translation",
    prompts=[
        Template("bare", "{{ source }}\n", shorten="source"),
        Template("cue", "{{ source }} =", shorten="source"),
        Template("instruction", "Translate the sentence.\n\nSentence: {{ source }}\nTranslation:", shorten="source"),
    ],
    metrics=["chrf", "bleu", "ter", "exact_match", "length_ratio"],
    max_target_tokens=192,
    stop=["\n"],
    references=["copy_source"],
)
