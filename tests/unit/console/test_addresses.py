"""Where a command finds a service, and what it may tell it."""

import pytest

from services.console.addresses import Address, Addresses
from services.console.errors import UnknownAddressError

STACK = {"settlement_url": "http://127.0.0.1:1", "analytics_url": None, "admin_token": "stack-token"}


def addresses(url: str | None = None, token: str | None = None, stack: dict[str, str | None] | None = None) -> Addresses:
    return Addresses(urls={"settlement": url}, token=token, stack=STACK if stack is None else stack, stack_file="stack.json")


def test_the_stacks_own_file_is_enough() -> None:
    assert addresses().of("settlement") == Address(url="http://127.0.0.1:1", token="stack-token")


def test_what_the_caller_says_goes_before_the_stacks_file() -> None:
    assert addresses("https://there/", "mine").of("settlement") == Address(url="https://there", token="mine")


def test_the_stacks_token_is_never_sent_to_an_address_that_the_stack_does_not_name() -> None:
    with pytest.raises(UnknownAddressError, match="TOLLBOOK_ADMIN_TOKEN"):
        addresses("https://elsewhere").of("settlement")


def test_an_address_that_nobody_named_is_asked_for_by_flag_variable_and_file() -> None:
    with pytest.raises(UnknownAddressError, match=r"stack\.json.*--analytics-url.*TOLLBOOK_ANALYTICS_URL"):
        addresses().of("analytics")


def test_a_customers_key_is_the_given_one_or_the_demos_for_the_stacks_own_edge_only() -> None:
    stack = {"edge_url": "http://own", "demo": {"api_key": "demo"}}
    own = Addresses(urls={}, token=None, stack=stack)
    assert own.of_customer(None) == Address(url="http://own", token="demo")
    assert own.of_customer("mine") == Address(url="http://own", token="mine")
    elsewhere = Addresses(urls={"edge": "http://elsewhere/"}, token=None, stack=stack)
    assert elsewhere.of_customer("mine") == Address(url="http://elsewhere", token="mine")
    for unknown in (
        elsewhere,
        Addresses(urls={}, token=None),
        Addresses(urls={}, token=None, stack={"edge_url": "http://own"}),
    ):
        with pytest.raises(UnknownAddressError):
            unknown.of_customer(None)
