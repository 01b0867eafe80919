"""To change how blocks are found, open `find_blocks`; how models load, `load`; how weights train, `apply_tuning`.

Pretrained models as torch modules. The kinds of tuning are a table in `harness.study.tuning_kinds`; what is captured of
the frozen part is in `frozen.capture`; what a model is without torch says `harness.study.model_config`.
"""
