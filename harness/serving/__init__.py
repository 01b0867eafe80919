"""To change how a stored model answers, open `generator`; a file, `predict`; over HTTP, `serve`; in MLflow, `pyfunc`.

Stored models at work; `find_model` knows them by any of their names.
"""
