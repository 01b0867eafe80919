"""To change what a chart shows, open `scores` or `tradeoffs`; its colors, `palette`; which there are, `gallery`.

Charts as points, and who draws them.
"""
