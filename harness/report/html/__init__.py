"""To change the page's tables, open `tables`; its looks, `style.css`.

``report.html``: one file that needs nothing else.
"""
