"""Models: a name or a folder -> a loaded codec and its language model."""

from .registry import bundled_models, language_model, language_model_for_stream, load_model, model_for_stream

__all__ = ["bundled_models", "language_model", "language_model_for_stream", "load_model", "model_for_stream"]
