"""How hard the property tests search."""

from hypothesis import settings

settings.register_profile("dqtw", deadline=None, max_examples=150)
settings.register_profile("thorough", deadline=None, max_examples=5_000)
settings.load_profile("dqtw")
