"""A plugin that cannot be imported: what it needs is not installed."""

import a_package_that_nobody_has
import zoo


@zoo.hookimpl
def zoo_models() -> list[zoo.ModelSpec]:
    return [zoo.ModelSpec("unreachable", a_package_that_nobody_has.Model)]
