"""To add a file format, open `readers`; a way to write prompts, `prompt_forms`; to change token ids, `tokenization`.

From a file to token ids, without torch. Where splits come from is in `sources`, what counts as a duplicate in
`duplicates`, what splits have in common in `train_test_overlap`.
"""
