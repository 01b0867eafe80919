"""To change what MLflow's pages say, open `descriptions`; what they show, `page_views`.

A study on MLflow's own pages; `harness.tracking.mlflow.ui_views` knows their form.
"""
