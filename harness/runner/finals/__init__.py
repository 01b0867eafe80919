"""To change final runs, open `final_runs`; which models are kept, `model_store`; the champion, `champion`.

Winners retrained on fresh seeds and scored on test, and reference rows.
"""
