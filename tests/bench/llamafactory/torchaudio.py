"""Stands in for torchaudio: LLaMA-Factory imports it, for sound alone, and not every CPU has a build of it."""
