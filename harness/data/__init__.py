"""From a file to token ids, without torch: readers, sources, duplicates, prompt templates, tokenization."""
