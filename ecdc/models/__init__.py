"""Models: a name or a folder -> a loaded codec."""

from .registry import bundled_models, load_model, model_for_stream

__all__ = ["bundled_models", "load_model", "model_for_stream"]
