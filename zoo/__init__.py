"""zoo: a plugin-style model zoo. Train, reload, sample and plot models that plugins bring.

What it offers is listed in `__init__.pyi`, once for people, type checkers and Python. Importing this package imports no
torch, and of zoo itself only what is used, so that a plugin may `import zoo` and still be listed in an instant.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
