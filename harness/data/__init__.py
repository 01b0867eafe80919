"""From a file to token ids, without torch: readers, sources, duplicates, prompt forms, tokenization.

To add a file format, open `readers`; a way to write prompts, `prompt_forms`; what counts as a duplicate, `duplicates`.
"""
