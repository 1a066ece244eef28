"""A YAML text is read once, or refused with its place and reason before it can cost much."""

import pytest
import yaml

from schemas.yaml_text import DEPTH_MAX, NODES_MAX, YamlTextError, read_yaml


def refusal(text: str) -> YamlTextError:
    with pytest.raises(YamlTextError) as caught:
        read_yaml(text)
    return caught.value


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_nesting_is_read_as_deep_as_the_bound_and_no_deeper(opening: str) -> None:
    refused = refusal(opening * 900)
    assert (refused.line, refused.column) == (1, len(opening) * DEPTH_MAX + 1)
    assert f"more than {DEPTH_MAX} deep" in refused.reason
    assert refusal(opening * 100_000).line == 1
    assert read_yaml("[" * DEPTH_MAX + "]" * DEPTH_MAX).node is not None


def test_more_values_than_the_bound_are_refused_where_they_stand() -> None:
    refused = refusal("- x\n" * NODES_MAX)
    assert (refused.line, refused.reason) == (NODES_MAX, f"the file has more than {NODES_MAX} values")


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("a: [&x 1, *x]", 11, "aliases"),
        ("a: {<<: {b: 1}}", 5, "merges"),
        *((f"a: {tag}", 4, "tags other than !!str") for tag in ('!!int ""', "!!bool x", "!!timestamp x", "!!str []", "!a x")),
    ],
)
def test_what_repeats_or_breaks_values_is_refused_with_its_place(text: str, column: int, said: str) -> None:
    refused = refusal(text)
    assert (refused.line, refused.column) == (1, column)
    assert said in refused.reason


def test_a_text_says_the_same_as_to_the_library() -> None:
    text = "a: [1, 2.5, true, null, 2026-01-01, '<<']\nb: !!str 2.5\nc: |\n  d\n"
    node, value = read_yaml(text)
    assert value == yaml.safe_load(text)
    assert isinstance(node, yaml.MappingNode)
    assert [key.start_mark.line for key, _ in node.value] == [0, 1, 2]
    assert read_yaml("# nothing\n") == (None, None)


@pytest.mark.parametrize(
    ("text", "place"), [("a: [", (1, 5)), ("a: [\n", (2, 1)), ("a: b: c", (1, 5)), ("a: 1\nb: 'x", (2, 6))]
)
def test_a_text_that_is_cut_off_is_refused_at_its_end(text: str, place: tuple[int, int]) -> None:
    refused = refusal(text)
    assert (refused.line, refused.column) == place
