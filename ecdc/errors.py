"""The errors of this library: every one derives from `EcdcError`, which is a `ValueError`."""


class EcdcError(ValueError):
    """Something is wrong with the input; the message says what and what to do about it."""


class AudioError(EcdcError):
    """The audio cannot be read, or cannot be written in the form asked for."""


class ModelError(EcdcError):
    """A model is missing, damaged, or cannot do what was asked."""


class BitstreamError(EcdcError):
    """An `.ecdc` stream is damaged, ends early, or is of a kind this version cannot read."""
