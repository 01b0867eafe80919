"""Pretrained models: describe one from its configuration, load it, list its blocks, choose what trains.

`describe` needs neither torch nor transformers; `load`, `blocks` and `tuning` do. Import them by their own names.
"""
