"""Checks that plugin authors can run over all that they register; zoo's own tests run them over the built-in plugins.

```python
import zoo.testing


def test_my_plugin_keeps_its_side_of_the_contract() -> None:
    zoo.testing.check_plugin("my-distribution")
```

Each check raises AssertionError with a message; a `zoo.ZooError` says what failed before anything could be compared.
"""

from zoo.testing.devices import check_device
from zoo.testing.engines import check_engines
from zoo.testing.plugins import STEPS, check_dataset, check_model, check_optimizer, check_plugin

__all__ = ["STEPS", "check_dataset", "check_device", "check_engines", "check_model", "check_optimizer", "check_plugin"]
