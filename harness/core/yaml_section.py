"""The base of what is read from YAML: closed, frozen, typed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Section"]


class Section(BaseModel):
    """What all sections share: unknown keys are errors, values never change."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        allow_inf_nan=False,
        use_attribute_docstrings=True,  # they are what the schema and the documentation say of a key
    )

    @classmethod
    def keys(cls) -> list[str]:
        """Return the keys that the section may have."""
        return list(cls.model_fields)
