"""What the Hub's refusals mean that have to do with who asks: a token, its rights, how often it was used."""

from __future__ import annotations

__all__ = ["LOGIN", "closed_to_token", "gate"]

LOGIN = "log in with `hf auth login`, or by HF_TOKEN"


def gate() -> str:
    """Return what is to be done about a gate: with a token its account has no access, without one nobody has."""
    from huggingface_hub import get_token

    if get_token():
        return "gated, and the account of the token in use has no access; accept its terms on the Hub, or take another"
    return f"gated; accept its terms on the Hub, then {LOGIN}"


def closed_to_token(error: Exception) -> str | None:
    """Return what the Hub has against a token, ``None`` where an error is of another kind."""
    match getattr(getattr(error, "response", None), "status_code", None):
        case 401:
            return "the Hub does not know the token in use; renew HF_TOKEN, or log in again with `hf auth login`"
        case 403:
            return "the token in use may not read it; give it the right to, on the Hub, or take another"
        case 429:
            return "the Hub was asked too often; wait some minutes, or log in with a token, which may ask more often"
    return None
