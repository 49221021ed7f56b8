import jaxtyping
import pytest


@pytest.fixture
def no_type_checks():
    """As a user runs it: what is said about a wrong type is our own message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
