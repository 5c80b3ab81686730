"""Checks that plugin authors can run over all that they register; zoo's own tests run them over the built-in plugins.

```python
import zoo.testing


def test_my_plugin_keeps_its_side_of_the_contract() -> None:
    print(zoo.testing.check_plugin("my-distribution"))
```

Each check returns a `Report` of what it tried, and of what it skipped and why. It raises AssertionError with a message
where something is wrong; a `zoo.ZooError` says what failed before anything could be tried.
"""

from zoo.testing.datasets import check_dataset
from zoo.testing.devices import check_device
from zoo.testing.engines import check_engines
from zoo.testing.loggers import check_logger
from zoo.testing.models.check import STEPS, check_model
from zoo.testing.models.objectives import check_loss, check_metrics
from zoo.testing.optimizers import check_optimizer
from zoo.testing.plugins import check_plugin
from zoo.testing.report import Report, Skip

__all__ = [
    "STEPS",
    "Report",
    "Skip",
    "check_dataset",
    "check_device",
    "check_engines",
    "check_logger",
    "check_loss",
    "check_metrics",
    "check_model",
    "check_optimizer",
    "check_plugin",
]
