"""To change what a chart shows, open `scores` or `tradeoffs`; how all are drawn, `draw_chart`; colors, `palette`.

Charts as points, drawn once by matplotlib; `gallery` says which there are.
"""
