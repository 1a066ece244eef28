"""The demo ends with what a person needs to go on."""

from pathlib import Path

from deploy.local.demo.story import farewell


def test_the_demo_ends_with_the_url_and_the_key_to_go_on_with() -> None:
    stack = {
        "edge_url": "http://127.0.0.1:8080",
        "analytics_url": "http://127.0.0.1:8083",
        "admin_token": "secret",
        "demo": {"api_key": "sk-tb-demo"},
    }
    said = "\n".join(farewell(stack, Path("/stack/stack.json")))
    for each in (
        "http://127.0.0.1:8080",
        "sk-tb-demo",
        "http://127.0.0.1:8083/dashboard",
        "/stack/stack.json",
        "make down",
        "make clean",
    ):
        assert each in said
