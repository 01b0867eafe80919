"""To change the page's tables, open `tables`; its samples, `samples`; its looks, `style.css`.

``report.html``: one file that needs nothing else.
"""
