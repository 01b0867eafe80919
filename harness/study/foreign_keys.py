"""Names that keys have in other tools, and what to write here: transformers, TRL, axolotl, lm-eval, Optuna, MLflow."""

from __future__ import annotations

from collections.abc import Collection

from harness.core.errors import FRESH

__all__ = ["FOREIGN_KEYS", "foreign_option"]

EPOCHS = "here it is 'training.epochs'"
STEPS = "here it is 'training.steps', in place of 'training.epochs'"
BATCH = "here it is 'training.batch_size', on the one device that a run has"
SCORING = "here it is 'generation.batch_size'; losses are scored in batches of 'training.batch_size'"
SOURCE = "here there is one limit for prompts, 'training.max_source_tokens', and one for targets, "
SOURCE += "'training.max_target_tokens'"
DATA = "here it is 'data.hub' for a data set of the Hub, 'data.path' for files"
MODEL = "here it is 'model.name'"
PRECISION = "here it is 'training.precision': bf16 or fp32; what weights are loaded as is 'model.dtype'"
NO_FP16 = "no run trains in float16, which overflows; 'training.precision': bf16 is there"
WARMUP = "here it is 'training.warmup', a share of the steps"
SCORED = "here it is 'training.evaluate_every', in optimizer steps; left out, validation is scored after every epoch"
SAVED = "here it is 'training.checkpoint': {every: 500, keep: 2}, of runs that are under way"
KEEP = "here it is 'training.keep': best, and 'final.models' says which models are stored"
FEWER = "here it is 'generation.top_p': which tokens are drawn from is said by their probability, not their number"
STOP = "here it is 'generation.stop', a list of texts"
SHOTS = "here it is 'prompts.shots', of each prompt that shows training rows: {name: four, text: \"...\", shots: 4}"
CHAT = "write a chat in 'prompts', {name: chat, user: \"{{ source }}\"}: the model's own chat template writes it"
SYSTEM = 'here it is \'prompts.system\', of each chat: {name: chat, system: "...", user: "{{ source }}"}'
ADAPTER = "here it is one of 'tuning': {lora: {rank: 8, alpha: 16, targets: [q_proj, v_proj]}}"
QUANTIZED = "no weights are quantized; 'model.frozen': bfloat16 takes half of the memory of what does not train"
RESULTS = "reports go to reports/<name>, all else to .harness and the stores; HARNESS_HOME=DIR moves them"
TRACKER = "runs are recorded in MLflow, always; which store is 'tracking.uri'"
OPTIMIZER = "here it is 'training.optimizer': adamw, adafactor or sgd"
LAYERS = "here it is 'training.block_decay', by which each block below the last one learns slower"
LOSS = "here it is 'training.loss': cross_entropy, focal, mse or a function of your own, losses.py:mine"
RESUMED = f"the same command goes on where a study was stopped, always; what starts over is {FRESH}"
ANSWERS = "the loss is that of the target's tokens alone, always"

FOREIGN_KEYS = {
    "num_train_epochs": EPOCHS,
    "num_epochs": EPOCHS,
    "max_steps": STEPS,
    "per_device_train_batch_size": BATCH,
    "train_batch_size": BATCH,
    "micro_batch_size": BATCH,
    "per_device_eval_batch_size": SCORING,
    "eval_batch_size": SCORING,
    "gradient_accumulation_steps": "here it is 'training.accumulation'",
    "lr": "here it is 'search.learning_rate', a range that is searched: {low: 1.0e-5, high: 1.0e-2}",
    "lr_scheduler_type": "here it is 'training.schedule'",
    "lr_scheduler": "here it is 'training.schedule'",
    "warmup_ratio": WARMUP,
    "warmup_steps": WARMUP,
    "max_grad_norm": "here it is 'training.clip'",
    "gradient_clipping": "here it is 'training.clip'",
    "optim": OPTIMIZER,
    "optimizer_name": OPTIMIZER,
    "layer_decay": LAYERS,
    "layerwise_lr_decay": LAYERS,
    "llrd": LAYERS,
    "label_smoothing_factor": "here it is 'training.label_smoothing'",
    "compute_loss_func": LOSS,
    "loss_fn": LOSS,
    "loss_function": LOSS,
    "early_stopping_patience": "here it is 'training.patience', in scores on validation",
    "load_best_model_at_end": KEEP,
    "save_strategy": SAVED,
    "save_steps": SAVED,
    "save_total_limit": "here it is 'training.checkpoint.keep'",
    "metric_for_best_model": "here it is 'search.metric'",
    "greater_is_better": "each metric says that itself; 'search.metric' names the one that is searched by",
    "eval_strategy": SCORED,
    "evaluation_strategy": SCORED,
    "eval_steps": SCORED,
    "logging_steps": "losses are recorded whenever validation is scored: every epoch, or 'training.evaluate_every'",
    "output_dir": RESULTS,
    "overwrite_output_dir": RESUMED,
    "resume_from_checkpoint": RESUMED,
    "report_to": TRACKER,
    "run_name": "here it is 'name', the study's; runs are named by their cells",
    "experiment_name": "here it is 'tracking.experiment'",
    "mlflow_tracking_uri": "here it is 'tracking.uri'",
    "bf16": PRECISION,
    "fp16": NO_FP16,
    "torch_dtype": "here it is 'model.dtype'",
    "no_cuda": "here it is 'training.device': cpu",
    "use_cpu": "here it is 'training.device': cpu",
    "model_name_or_path": MODEL,
    "pretrained": MODEL,
    "base_model": MODEL,
    "load_in_8bit": QUANTIZED,
    "load_in_4bit": QUANTIZED,
    "use_peft": ADAPTER,
    "lora_r": ADAPTER,
    "lora_alpha": ADAPTER,
    "lora_dropout": ADAPTER,
    "lora_target_modules": ADAPTER,
    "target_modules": ADAPTER,
    "peft_config": ADAPTER,
    "dataset_name": DATA,
    "datasets": DATA,
    "dataset_config_name": "here it is 'data.config'",
    "train_file": "here it is 'data.splits': {train: a.csv, validation: b.csv}",
    "validation_file": "here it is 'data.splits': {train: a.csv, validation: b.csv}",
    "val_set_size": "here it is 'data.validation', a number of rows",
    "max_train_samples": "here it is 'data.train'",
    "max_eval_samples": "here it is 'data.validation'",
    "max_predict_samples": "here it is 'data.test'",
    "limit": "here it is 'data.validation' and 'data.test', numbers of rows",
    "block_size": "here it is 'training.block_tokens', of a task of plain text: 'task': text_generation",
    "max_seq_length": SOURCE,
    "max_length": SOURCE,
    "sequence_len": SOURCE,
    "max_source_length": "here it is 'training.max_source_tokens'",
    "max_target_length": "here it is 'training.max_target_tokens'",
    "generation_max_length": "here it is 'generation.max_new_tokens'",
    "generation_num_beams": "here it is 'generation.num_beams'",
    "completion_only_loss": ANSWERS,
    "train_on_inputs": ANSWERS,
    "packing": "rows are never packed: each is read by itself, in batches of about one length",
    "do_sample": "here it is 'generation.sample'",
    "top_k": FEWER,
    "min_length": "here it is 'generation.min_new_tokens'",
    "stop_strings": STOP,
    "stop_sequences": STOP,
    "prompt_template": "prompts are written in 'prompts': {name: polite, text: \"{{ source }}\"}",
    "num_fewshot": SHOTS,
    "n_shots": SHOTS,
    "apply_chat_template": CHAT,
    "system_prompt": SYSTEM,
    "system_instruction": SYSTEM,
    "chat_template_kwargs": "here it is 'prompts.template_args', of each chat: {enable_thinking: false}",
    "n_trials": "here it is 'search.trials', of each cell",
    "direction": "each metric says that itself; 'search.metric' names the one that is searched by",
}
"""What is said of each name, by a study file's own keys in quotes."""

OPTIONS = {
    "r": "rank",
    "lora_r": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "target_modules": "targets",
    "feedforward_modules": "feed_forward",
    "num_virtual_tokens": "tokens",
    "prompt_tuning_init": "init",
    "prompt_tuning_init_text": "init",
    "layers_to_transform": "blocks",
}
"""PEFT's names of an adapter's options, and ours."""

BESIDE = {
    "modules_to_save": "what trains beside an adapter stands beside its kind: {lora: {rank: 8}, with: [head]}",
    "use_dora": "that is a kind of its own: {dora: {rank: 8}}",
    "use_rslora": "that is a kind of its own: {rslora: {rank: 8}}",
}
"""PEFT's names of what is no option here."""


def foreign_option(name: str, known: Collection[str]) -> str | None:
    """Return what is said of a name that PEFT has for an option, ``None`` where it is none, or of another kind.

    >>> foreign_option("lora_alpha", ["rank", "alpha"]), foreign_option("r", ["tokens"])
    ("here it is 'alpha'", None)

    Args:
        name: As it was written.
        known: The options that there are.
    """
    own = OPTIONS.get(name)
    return f"here it is {own!r}" if own in known else BESIDE.get(name)
