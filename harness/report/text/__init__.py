"""The report in words: the headline, findings, cautions, Markdown."""
