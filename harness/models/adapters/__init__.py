"""Adapters: new weights that PEFT puts into a loaded model, trains, stores and takes off again.

To change how one is put on, open `attach`; how virtual tokens reach a model, `soft_prompts`; what is stored of one,
`stored_adapter`.
"""
