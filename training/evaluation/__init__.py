"""Scores of codecs, as tables and pictures."""
