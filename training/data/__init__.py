"""Training audio: sources, the corpus built of them, crops."""
