"""A study on its way: searches, final runs, what is missing after a kill, models, plans."""
