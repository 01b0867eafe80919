"""To change the loop, open `loop`; the loss, `loss`; decoding, `decoding`; early stopping, `early_stopping`.

Training and scoring of one run; `trainer` puts them together, `training_run` is one run. What is kept of the frozen
part is in `activation_cache.cache`, what a run costs in `cost_meter.account`.
"""
