"""The gains of crops."""

# Paper: the least and the greatest in dB. A codec that does not normalise is worse at what is quieter than it heard.
QUIETEST, LOUDEST = -10.0, 6.0
