"""The embedded world: everyday life at home and at the office, told in English and German.

Everything that the harness ships to be studied without a network comes from here, from fixed seeds:
the pretraining corpus, the task data sets (``python -m tools.world.datasets``) and the small
base language model (``python -m tools.world.pretrain``).
"""
