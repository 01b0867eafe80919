"""To change a number's looks, open `number_format`; a sentence, `text`; a chart, `charts`; a csv column, `csv_tables`.

How a study is shown: page, Markdown, csv, figures, MLflow's pages, comparisons of two studies. All words are in Jinja
templates, ``*.j2``: the answer in ``text/answer.md.j2``, cautions in ``text/cautions.md.j2``, what MLflow says in
``mlflow_pages``, the rest in ``html/page.html.j2`` and ``text/report.md.j2``. What a chart shows is in `charts/scores`
and `charts/tradeoffs`, how all are drawn in `charts/draw_chart`; colors in `charts/palette` and ``html/style.css``.
"""
