"""Pretrained models: load one, find its blocks, choose what trains, replay what is frozen.

To change what a kind of tuning trains, open `harness.study.tuning_kinds`; how it is done, `tuning`; how blocks are
found, `find_blocks`; what is captured of the frozen part, `frozen.capture`.
"""
