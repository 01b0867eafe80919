r"""Text generation: plain text whose documents hold their prompts already, cut into blocks of tokens.

A row of its data; a file of text alone, train.txt, does as well:

    {"text": "We have enough noodles. Julia takes the bag to the pharmacy on Monday.\nTL;DR: Julia is out on Monday."}
"""

from harness import PlainText, Task

task = Task(
    name="text_generation",
    data="data/text_generation",
    prompts=[PlainText()],
    metrics=["perplexity", "bits_per_byte"],
    max_target_tokens=64,
)
