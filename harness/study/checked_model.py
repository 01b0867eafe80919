"""What a study's model is, by its files alone: described, tokenizing, and refused for what no study can use."""

from __future__ import annotations

from pathlib import Path

from harness.data.context_left import context_beside
from harness.data.decoder_prefix import language_codes, refuse_language
from harness.data.tokenization import Reader
from harness.study.adapter_base import refuse_other_base
from harness.study.adapter_files import refuse_adapter
from harness.study.checkpoint_generation import refuse_malformed
from harness.study.model_config import Description, describe
from harness.study.model_files import weight_files
from harness.study.packaged_files import model_location
from harness.study.problems import Problems
from harness.study.settings import virtual_tokens
from harness.study.spec import StudySpec
from harness.study.tokenizer_without_model import light_reader
from harness.study.weights_on_disk import refuse_broken_weights, refuse_whole_numbers

__all__ = ["checked_model"]


def checked_model(study: StudySpec, problems: Problems) -> tuple[Description | None, Reader | None]:
    """Return a model's description and what stands for its tokenizer, ``None`` for what was a problem."""
    description, reader = None, None
    with problems.at("model"):
        place = model_location(study.model.name)
        description = describe(place, study.model.revision)
        if description.source:
            refuse_whole_numbers(place, weight_files(description.source))
        refuse_broken_weights(Path(place).expanduser())
        refuse_malformed(place, description)
        description = description._replace(context=context_beside(description.context, virtual_tokens(study)))
        with problems.at("model", "adapter"):
            if study.model.adapter:
                refuse_adapter(study.model.adapter)
                refuse_other_base(study.model)
        with problems.at("model", "name"):
            reader = light_reader(description, study.model.target_language)
    if description and reader and description.tokenizer_file:
        codes = language_codes(reader.tokenizer.get_vocab()) if description.is_encoder_decoder else {}
        for key, code in study.model.languages.items():
            with problems.at("model", key):
                refuse_language(key, code, codes)
    return description, reader
