"""Training and scoring of one run: the loop, the loss, decoding, evaluation; the trainer puts them together.

To change how weights move, open `loop`; what a step computes, `loss`; what is kept of the frozen part,
`activation_cache.cache`; what a run's costs are, `cost_meter.account`.
"""
