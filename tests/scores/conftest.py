from tests.data.conftest import bad_pool

__all__ = ["bad_pool"]
