"""How a study is shown: page, Markdown, csv, figures, MLflow's pages, comparisons of two studies.

To change how a number reads, open `number_format`; a sentence of the answer, `text/headline`; a caution,
`text/cautions`; what a chart shows, `charts/scores` and `charts/tradeoffs`; how all are drawn, `charts/draw_chart`;
colors, `charts/palette` and ``html/style.css``; other words, ``html/page.html.j2`` and ``text/report.md.j2``; a column
of csv, `csv_tables`; descriptions and views in MLflow, `mlflow_pages`.
"""
