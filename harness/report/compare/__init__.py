"""To change what may be compared, open `compare_studies`; what is printed, `render_comparison`.

`harness compare`: two studies, cells or runs against each other, on the same test examples.
"""
