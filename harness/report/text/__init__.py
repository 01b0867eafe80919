"""To change the answer, open `headline`; a warning, `cautions`; ``report.md``, `markdown`.

The report in words.
"""
