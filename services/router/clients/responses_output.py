"""The items of a streamed response, put together from deltas, and the events that tell of them. Pure."""

from __future__ import annotations

from typing import Any, TypeVar

from services.router.clients.responses_reply import call_item, item_id, message_item, reasoning_item, text_part

Json = dict[str, Any]
Events = list[tuple[str, Json]]
Item = TypeVar("Item", bound="_Message | _Thought | _Call")


class Output:
    """Everything that was said so far. A message or a thought ends where something else begins; calls stay open to the end."""

    def __init__(self, response: str) -> None:
        self._response = response
        self._open: list[_Message | _Thought | _Call] = []
        self.items: list[Json] = []

    def take(self, delta: Json, logprobs: list[Json]) -> Events:
        """The events of one delta."""
        events: Events = []
        if delta.get("reasoning_content"):
            events += self._thought(events).think(delta["reasoning_content"])
        if delta.get("thinking_signature"):
            self._thought(events).sign(delta["thinking_signature"])
        for block in delta.get("thinking_blocks") or []:
            self._thought(events).blocks.append(block)
        if delta.get("content"):
            events += self._message(events).say("output_text", delta["content"], logprobs)
        if delta.get("refusal"):
            events += self._message(events).say("refusal", delta["refusal"], [])
        for call in delta.get("tool_calls") or []:
            events += self._call(events, call).add((call.get("function") or {}).get("arguments"))
        return events

    def close(self, status: str = "completed") -> Events:
        """The ends of the items that are open; `status` is that of the whole."""
        events: Events = []
        for item in self._open:
            told, done = item.close(status)
            self.items[item.place] = done
            events += [*told, ("response.output_item.done", {"output_index": item.place, "item": done})]
        self._open = []
        return events

    def _thought(self, events: Events) -> _Thought:
        found = self._open[0] if self._open else None
        if isinstance(found, _Thought):
            return found
        events += self.close()
        return self._added(_Thought(self._response, len(self.items)), events)

    def _message(self, events: Events) -> _Message:
        found = self._open[0] if self._open else None
        if isinstance(found, _Message):
            return found
        events += self.close()
        return self._added(_Message(self._response, len(self.items)), events)

    def _call(self, events: Events, call: Json) -> _Call:
        for item in self._open:
            if isinstance(item, _Call) and item.index == call["index"]:
                return item
        if self._open and not isinstance(self._open[0], _Call):
            events += self.close()
        return self._added(_Call(self._response, len(self.items), call), events)

    def _added(self, item: Item, events: Events) -> Item:
        self._open.append(item)
        self.items.append(item.begun)
        events.append(("response.output_item.added", {"output_index": item.place, "item": item.begun}))
        return item


class _Message:
    """Text and refusals, each kind a part of its own."""

    def __init__(self, response: str, place: int) -> None:
        self.place = place
        self._id = item_id("msg", response, place)
        self._parts: list[Json] = []
        self._logprobs: list[Json] = []
        self.begun = message_item(self._id, [], "in_progress")

    def say(self, kind: str, text: str, logprobs: list[Json]) -> Events:
        """More of a part, or of a new one."""
        events: Events = []
        field = "text" if kind == "output_text" else "refusal"
        if not self._parts or self._parts[-1]["type"] != kind:
            events += self._close_part()
            part = text_part("", []) if kind == "output_text" else {"type": "refusal", "refusal": ""}
            self._parts.append(part)
            events.append(("response.content_part.added", {**self._where(), "part": dict(part)}))
        self._parts[-1][field] += text
        more = {"logprobs": logprobs} if kind == "output_text" else {}
        self._logprobs += logprobs
        events.append((f"response.{kind}.delta", {**self._where(), "delta": text, **more}))
        return events

    def close(self, status: str) -> tuple[Events, Json]:
        """The end of its last part, and the whole item."""
        return self._close_part(), message_item(self._id, self._parts, status)

    def _close_part(self) -> Events:
        if not self._parts:
            return []
        part = self._parts[-1]
        if part["type"] == "output_text":
            part["logprobs"], self._logprobs = self._logprobs, []
            said = {"text": part["text"], "logprobs": part["logprobs"]}
        else:
            said = {"refusal": part["refusal"]}
        where = self._where()
        return [(f"response.{part['type']}.done", {**where, **said}), ("response.content_part.done", {**where, "part": part})]

    def _where(self) -> Json:
        return {"item_id": self._id, "output_index": self.place, "content_index": len(self._parts) - 1}


class _Thought:
    """Reasoning, told as one summary; `blocks` are the provider's own."""

    def __init__(self, response: str, place: int) -> None:
        self.place = place
        self._id = item_id("rs", response, place)
        self._text = ""
        self._signed = 0
        self.blocks: list[Json] = []
        self.begun = reasoning_item(self._id, "", None)

    def think(self, text: str) -> Events:
        """More of it."""
        where = self._where()
        events: Events = []
        if not self._text:
            part = {"type": "summary_text", "text": ""}
            events.append(("response.reasoning_summary_part.added", {**where, "part": part}))
        self._text += text
        events.append(("response.reasoning_summary_text.delta", {**where, "delta": text}))
        return events

    def sign(self, signature: str) -> None:
        """What was thought since the last signature is a block of the provider's."""
        self.blocks.append({"type": "thinking", "thinking": self._text[self._signed :], "signature": signature})
        self._signed = len(self._text)

    def close(self, status: str) -> tuple[Events, Json]:
        """The end of its text, and the whole item."""
        item = reasoning_item(self._id, self._text, self.blocks or None)
        if not self._text:
            return [], item
        where = self._where()
        done = ("response.reasoning_summary_text.done", {**where, "text": self._text})
        part = {"type": "summary_text", "text": self._text}
        return [done, ("response.reasoning_summary_part.done", {**where, "part": part})], item

    def _where(self) -> Json:
        return {"item_id": self._id, "output_index": self.place, "summary_index": 0}


class _Call:
    """A function call, by its index among the calls."""

    def __init__(self, response: str, place: int, call: Json) -> None:
        self.place = place
        self.index = call["index"]
        self._id = item_id("fc", response, place)
        self._call = {**call, "function": {"name": call["function"]["name"], "arguments": ""}}
        self.begun = call_item(self._id, self._call, "in_progress")

    def add(self, arguments: str | None) -> Events:
        """More of its arguments."""
        if not arguments:
            return []
        self._call["function"]["arguments"] += arguments
        return [("response.function_call_arguments.delta", {**self._where(), "delta": arguments})]

    def close(self, status: str) -> tuple[Events, Json]:
        """The end of its arguments, and the whole item."""
        item = call_item(self._id, self._call, status)
        done = {**self._where(), "name": item["name"], "arguments": item["arguments"]}
        return [("response.function_call_arguments.done", done)], item

    def _where(self) -> Json:
        return {"item_id": self._id, "output_index": self.place}
