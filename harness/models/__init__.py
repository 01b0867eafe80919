"""To change what trains, open `tuning`; how blocks are found, `find_blocks`; how models are loaded, `load`.

Pretrained models as torch modules. The kinds of tuning are a table in `harness.study.tuning_kinds`; what is captured of
the frozen part is in `frozen.capture`; what a model is without torch says `harness.study.model_config`.
"""
