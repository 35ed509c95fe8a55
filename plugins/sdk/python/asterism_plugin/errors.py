"""Errors that a component means for the user: what is wrong, where, and what to do next."""


class PluginError(Exception):
    """What is wrong, a clause without a full stop, and advice on what to do next."""

    cause = 0  # Fault.Cause of the contract

    def __init__(self, what: str, advice: str = ""):
        super().__init__(what)
        self.what, self.advice = what, advice


class ConfigError(PluginError):
    """The configuration as a whole cannot be had, when no single field is to blame."""

    cause = 1


class FieldError(ConfigError):
    """One field of the component's configuration cannot be had: the user sees it at the line where the field stands."""

    def __init__(self, field: str, what: str, advice: str = ""):
        super().__init__(what, advice)
        self.field = field


class DataError(PluginError):
    """The data are not what they should be: a missing folder, a table that cannot be read."""

    cause = 2


class ResourceError(PluginError):
    """The machine refuses: memory, disk, too many open files."""

    cause = 3
