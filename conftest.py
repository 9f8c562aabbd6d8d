"""How hypothesis searches: small and with no clock, and in continuous integration always the same examples."""

import os

from hypothesis import settings

settings.register_profile("local", deadline=None, max_examples=25)
settings.register_profile("repeatable", deadline=None, max_examples=25, derandomize=True, database=None)
settings.load_profile("repeatable" if os.environ.get("CI") else "local")
