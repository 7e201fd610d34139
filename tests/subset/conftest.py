from tests.data import conftest  # noqa: F401 - loads the profile of hypothesis
