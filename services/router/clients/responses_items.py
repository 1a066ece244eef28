"""The items of a responses request as the messages of a chat completion. Pure.

An assistant's turn is several items (reasoning, text, calls), which become one message: providers want the calls of a turn
together, and its thinking before them.
"""

from __future__ import annotations

from typing import Any

import orjson

from services.router.dialects.thinking_blocks import opened
from services.router.errors import RefusalError

Json = dict[str, Any]
ROLES = frozenset({"user", "assistant", "system", "developer"})
CLIENT_CALLS = frozenset({"custom_tool_call", "local_shell_call", "apply_patch_call"})
CLIENT_RESULTS = frozenset({"custom_tool_call_output", "local_shell_call_output", "apply_patch_call_output"})


def invalid(param: str, message: str, code: str = "invalid_value") -> RefusalError:
    """A refusal that names the parameter."""
    return RefusalError(400, code, message, param=param)


def unsupported(param: str, message: str) -> RefusalError:
    """The refusal of what has no meaning here."""
    return invalid(param, message, "unsupported_parameter")


class Conversation:
    """Messages, one item after the other. `untranslated` names the items that only a provider of responses understands."""

    def __init__(self) -> None:
        self.messages: list[Json] = []
        self.untranslated: list[str] = []

    def instruct(self, instructions: Any) -> None:
        """What goes before everything."""
        if instructions is None:
            return
        if not isinstance(instructions, str):
            raise invalid("instructions", "instructions must be a string.")
        if instructions:
            self.messages.append({"role": "system", "content": instructions})

    def take(self, given: Any) -> None:
        """The whole input, a text or a list of items."""
        if isinstance(given, str) and given:
            self.messages.append({"role": "user", "content": given})
            return
        if not isinstance(given, list) or not given:
            raise invalid("input", "input must be a text or a list with at least one item.")
        wrong = next((index for index, item in enumerate(given) if not isinstance(item, dict)), None)
        if wrong is not None:
            message = (
                f"input.{wrong} must be an object, such as a message with a role and a content; a text alone is input itself."
            )
            raise invalid(f"input.{wrong}", message)
        for index, item in enumerate(given):
            self._item(item, f"input.{index}")

    def _item(self, item: Json, param: str) -> None:
        kind = item.get("type", "message")
        if kind == "message":
            self._message(item, param)
        elif kind == "function_call":
            self._call(item, param)
        elif kind == "function_call_output":
            self.messages.append(self._result(item, param))
        elif kind == "reasoning":
            self._thought(item)
        elif isinstance(kind, str) and kind in CLIENT_CALLS | CLIENT_RESULTS:
            self.untranslated.append(param)
            self.messages.append(self._foreign(item, param))
        elif kind == "item_reference":
            raise unsupported(param, "Items are not stored here: send the item itself instead of a reference.")
        else:
            raise unsupported(param, f"An item of type {kind!r} has no meaning here.")

    def _message(self, item: Json, param: str) -> None:
        role = item.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise invalid(f"{param}.role", "role must be user, assistant, system or developer.")
        content = _content(item.get("content"), f"{param}.content")
        if role == "assistant":
            turn = self._turn(new="content" in self._last() or "tool_calls" in self._last())
            turn["content"] = content
        else:
            self.messages.append({"role": role, "content": content})

    def _call(self, item: Json, param: str) -> None:
        if not isinstance(item.get("name"), str) or not isinstance(item.get("arguments"), str):
            raise invalid(param, "A function_call needs call_id, name and arguments, all texts.")
        if not isinstance(item.get("call_id"), str):
            raise invalid(f"{param}.call_id", "A function_call needs its call_id.")
        function = {"name": item["name"], "arguments": item["arguments"]}
        call: Json = {"id": item["call_id"], "type": "function", "function": function}
        if isinstance(item.get("extra_content"), dict):
            call["extra_content"] = item["extra_content"]
        turn = self._turn()
        turn.setdefault("content", None)
        turn.setdefault("tool_calls", []).append(call)

    @staticmethod
    def _result(item: Json, param: str) -> Json:
        if not isinstance(item.get("call_id"), str):
            raise invalid(f"{param}.call_id", "A function_call_output needs the call_id of its function_call.")
        return {"role": "tool", "tool_call_id": item["call_id"], "content": _content(item.get("output"), f"{param}.output")}

    def _thought(self, item: Json) -> None:
        """Blocks that came through here go back to their provider; any other reasoning means something to its maker alone."""
        blocks = opened(item.get("encrypted_content"))
        if blocks:
            turn = self._turn(new="content" in self._last() or "tool_calls" in self._last())
            turn.setdefault("thinking_blocks", []).extend(blocks)

    @staticmethod
    def _foreign(item: Json, param: str) -> Json:
        """Stands for the item in counts of messages, images and text; no provider gets it."""
        if item["type"] in CLIENT_RESULTS and isinstance(item.get("output"), list):
            return {"role": "tool", "content": _content(item["output"], f"{param}.output")}
        return {"role": "tool", "content": orjson.dumps(item).decode()}

    def _last(self) -> Json:
        return self.messages[-1] if self.messages and self.messages[-1]["role"] == "assistant" else {}

    def _turn(self, *, new: bool = False) -> Json:
        """The assistant's message that is being put together, or a new one."""
        if new or not self._last():
            self.messages.append({"role": "assistant"})
        return self.messages[-1]


def _content(content: Any, param: str) -> Any:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise invalid(param, f"{param} must be a text or a list of parts.")
    return [_part(part, f"{param}.{index}") for index, part in enumerate(content)]


def _part(part: Json, param: str) -> Json:
    kind = part.get("type")
    breakpoint_ = part.get("prompt_cache_breakpoint")
    if isinstance(breakpoint_, dict) and breakpoint_.get("ttl") not in (None, "30m"):
        raise unsupported(f"{param}.prompt_cache_breakpoint", "Only the default lifetime of the prompt cache is priced here.")
    if kind in ("input_text", "output_text", "text") and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return {"type": "refusal", "refusal": part["refusal"]}
    if kind == "input_image":
        return {"type": "image_url", "image_url": _image(part, param)}
    if kind == "input_file":
        return {"type": "file", "file": _file(part, param)}
    raise unsupported(param, f"A part of type {kind!r} has no meaning here.")


def _image(part: Json, param: str) -> Json:
    if not isinstance(part.get("image_url"), str):
        raise unsupported(
            param, "An image comes with image_url, an address or a data address: upload ids belong to one provider."
        )
    image: Json = {"url": part["image_url"]}
    if part.get("detail") is not None:
        image["detail"] = part["detail"]
    return image


def _file(part: Json, param: str) -> Json:
    if not isinstance(part.get("file_data"), str):
        raise unsupported(param, "A file comes with file_data: upload ids belong to one provider.")
    file: Json = {"file_data": part["file_data"]}
    if part.get("filename") is not None:
        file["filename"] = part["filename"]
    return file
