"""To change a number's looks, open `number_format`; a sentence, `text`; a chart, `charts`; a csv column, `csv_tables`.

How a study is shown: page, Markdown, csv, figures, MLflow's pages, comparisons of two studies. The answer is in
`text/headline`, a caution in `text/cautions`; what a chart shows in `charts/scores` and `charts/tradeoffs`, how all are
drawn in `charts/draw_chart`; colors in `charts/palette` and ``html/style.css``; other words in
``html/page.html.j2`` and ``text/report.md.j2``; descriptions and views in MLflow in `mlflow_pages`.
"""
