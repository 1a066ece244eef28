"""A reference page names every call, parameter, answer and shape of its document."""

from typing import Any

from deploy.reference.page import page

DOCUMENT: dict[str, Any] = {
    "info": {"title": "Toll"},
    "paths": {
        "/admin/price-books/{version}": {
            "get": {
                "summary": "Show a book",
                "x-tollbook-permission": "price.read",
                "parameters": [
                    {"name": "version", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}},
                    {"name": "format", "in": "query", "schema": {"enum": ["json", "yaml"]}, "description": "a | b"},
                ],
                "responses": {
                    "200": {"description": "Done.", "content": {"application/json": {"schema": {"$ref": "#/x/Book"}}}},
                    "404": {"description": "No such book."},
                },
            }
        }
    },
    "components": {
        "schemas": {
            "Book": {
                "type": "object",
                "description": "Prices.",
                "required": ["items"],
                "properties": {
                    "items": {"type": "array", "items": {"type": "string"}},
                    "note": {"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}], "description": "Why."},
                },
            }
        }
    },
}


def test_a_page_names_calls_with_permission_parameters_and_answers() -> None:
    text = page(DOCUMENT, introduction="All of it.")
    for line in (
        "# Toll",
        "All of it.",
        "## Price books",
        "### `GET /admin/price-books/{version}`",
        "Show a book.",
        "Needs `price.read`.",
        "| `version` (required) | path | integer (1 to) |  |",
        "| `format` | query | `json` or `yaml` | a \\| b |",
        "| 200 | [Book](#book) | Done. |",
        "| 404 |  | No such book. |",
        "### Book",
        "| `items` (required) | list of string |  |",
        "| `note` | string (at most 9 characters) or null | Why. |",
    ):
        assert line in text.splitlines()
