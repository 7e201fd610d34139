"""The few errors that the command line shows as one sentence, without a traceback."""


class InputError(ValueError):
    """Something the caller gave cannot be used; the text names it and says what to do."""


class MissingExtra(InputError):
    """An optional dependency is absent; the text holds the `pip install` that brings it."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(f'{needed_for} needs an optional part: pip install "thresher[{extra}]"')
